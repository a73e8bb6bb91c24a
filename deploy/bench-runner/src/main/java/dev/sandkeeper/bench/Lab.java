package dev.sandkeeper.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;

/**
 * Starts what rows need, and ends it: each row begins with a server process of its own, so no row
 * sees what another left in memory or in compiled code.
 */
final class Lab implements AutoCloseable {
  private final Path data;
  private final Path log;
  private final List<String> serverCommand;
  private final Path e2bPeer;
  private final boolean brief;

  /** How to end what runs, newest first. Guarded by this. */
  private final Deque<Ending> endings = new ArrayDeque<>();

  /**
   * @param data the folder for the server's data
   * @param log the file that the server's output is added to
   * @param serverCommand the program that is the server, with its arguments
   * @param e2bPeer the program that speaks E2B's protocol
   * @param brief whether few runs are wanted, soon
   */
  Lab(Path data, Path log, List<String> serverCommand, Path e2bPeer, boolean brief) {
    this.data = data;
    this.log = log;
    this.serverCommand = List.copyOf(serverCommand);
    this.e2bPeer = e2bPeer;
    this.brief = brief;
  }

  /** Says whether a row is to be made smaller rather than take minutes to prepare. */
  boolean isBrief() {
    return brief;
  }

  /** Returns a folder for a row's own files; removed with the server's data. */
  Path folder() throws IOException {
    return Files.createDirectories(data.resolve("bench"));
  }

  /** Starts a server on a free port and waits until it serves. */
  ServerProcess startServer() throws IOException, InterruptedException {
    return startServer(Map.of());
  }

  private ServerProcess startServer(Map<String, String> settings)
      throws IOException, InterruptedException {
    ServerProcess server = ServerProcess.launch(serverCommand, data, log, settings);
    endLater(server::stop);
    server.awaitServing();
    return server;
  }

  /** Starts a server and makes a sandbox in it. */
  Workplace startWorkplace() throws IOException, InterruptedException {
    return startWorkplace(Map.of());
  }

  /**
   * Starts a server and makes a sandbox in it.
   *
   * @param settings variables of the server's environment, where the default configuration will not
   *     do
   */
  Workplace startWorkplace(Map<String, String> settings) throws IOException, InterruptedException {
    Workplace workplace = Workplace.open(startServer(settings));
    endLater(workplace::leave);
    return workplace;
  }

  /** Starts a server of E2B's protocol. */
  E2bPeer startE2bPeer() throws IOException {
    E2bPeer peer = E2bPeer.start(e2bPeer);
    endLater(peer::stop);
    return peer;
  }

  /** Starts a server whose sandboxes are at a peer of E2B, and makes one there. */
  Workplace startWorkplace(E2bPeer peer) throws IOException, InterruptedException {
    Workplace workplace = Workplace.open(startServer(peer.settings()), Workplace.AT_E2B);
    endLater(workplace::leave);
    return workplace;
  }

  /** Opens the ledger by itself, without a server. */
  LedgerLab openLedger() throws IOException {
    LedgerLab ledger = LedgerLab.open(data);
    endLater(ledger::close);
    return ledger;
  }

  /** Makes a raw container like a sandbox that runs; it does not run yet. */
  RawContainer makeRawContainer(Workplace like) throws IOException, InterruptedException {
    RawContainer container = RawContainer.like(like.sandbox().id(), data);
    endLater(container::remove);
    return container;
  }

  private synchronized void endLater(Ending ending) {
    endings.push(ending);
  }

  /** Ends everything that runs, newest first; can be used again afterwards. */
  @Override
  public synchronized void close() {
    while (!endings.isEmpty()) {
      try {
        endings.pop().end();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      } catch (IOException | RuntimeException e) {
        // The others must be ended all the same.
        System.err.println("bench: " + e.getMessage());
      }
    }
  }

  /** Ends one thing. */
  @FunctionalInterface
  private interface Ending {
    void end() throws IOException, InterruptedException;
  }
}
