package dev.sandkeeper.client;

import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExposePortResponse;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxUsage;
import java.time.Duration;
import java.util.List;

/**
 * A sandbox, to run things in. Safe for use by many threads.
 *
 * <p>Closing ends the sandbox, so that a {@code try} leaves none behind. One that shall live on is
 * simply not closed; {@link SandkeeperClient#sandbox} finds it again.
 */
public final class SandboxHandle implements AutoCloseable {
  private final SandkeeperClient client;
  private final String id;

  SandboxHandle(SandkeeperClient client, String id) {
    this.client = client;
    this.id = id;
  }

  /** Returns the sandbox's id. */
  public String id() {
    return id;
  }

  /** Prepares to run Python in the sandbox's default context, where variables live on. */
  public ExecutionBuilder python(String source) {
    return code(Language.LANGUAGE_PYTHON, source);
  }

  /** Prepares to run TypeScript in the sandbox's default context, where variables live on. */
  public ExecutionBuilder typeScript(String source) {
    return code(Language.LANGUAGE_TYPESCRIPT, source);
  }

  /** Prepares to run Java, as JShell takes it, in the default context, where variables live on. */
  public ExecutionBuilder java(String source) {
    return code(Language.LANGUAGE_JAVA, source);
  }

  /** Prepares to run R in the sandbox's default context, where variables live on. */
  public ExecutionBuilder r(String source) {
    return code(Language.LANGUAGE_R, source);
  }

  /** Prepares to run a piece of code. */
  public ExecutionBuilder code(Language language, String source) {
    return new ExecutionBuilder(
        client, request().setCode(Code.newBuilder().setLanguage(language).setSource(source)));
  }

  /** Prepares to run a line in the sandbox's shell. */
  public ExecutionBuilder shell(String line) {
    return new ExecutionBuilder(client, request().setCommand(Command.newBuilder().setShell(line)));
  }

  /** Prepares to run a program with its arguments, without a shell. */
  public ExecutionBuilder command(String program, String... arguments) {
    return new ExecutionBuilder(
        client,
        request().setCommand(Command.newBuilder().addArgv(program).addAllArgv(List.of(arguments))));
  }

  /** Returns the sandbox's files. */
  public SandboxFiles files() {
    return client.files(id);
  }

  /** Returns the sandbox as it is now. */
  public Sandbox describe() {
    return client.getSandbox(id);
  }

  /** Returns what the sandbox used and what was booked for it, running or ended. */
  public SandboxUsage usage() {
    return client.getUsage(id);
  }

  /**
   * Pauses the sandbox, which stays as it is and costs less, until {@link #resume}; one that is
   * paused stays so.
   */
  public Sandbox pause() {
    return client.pauseSandbox(id);
  }

  /**
   * Lets a paused sandbox go on; one that runs stays as it is.
   *
   * @throws QuotaExceededException when a limit has not enough left; it stays paused
   */
  public Sandbox resume() {
    return client.resumeSandbox(id);
  }

  /**
   * Makes a URL by which a port can be reached for a while, by whoever has it.
   *
   * @param port the one that a program in the sandbox listens on, 1 to 65535
   * @param validity how long the URL is good, 1 s to 24 h
   */
  public ExposePortResponse exposePort(int port, Duration validity) {
    return client.exposePort(id, port, validity);
  }

  /** Ends the sandbox at once and returns it as it is then; one that has ended stays as it is. */
  public Sandbox terminate() {
    return client.terminateSandbox(id);
  }

  /**
   * Ends the sandbox.
   *
   * @param grace how long its processes may take after SIGTERM, 0 to 4 seconds
   */
  public Sandbox terminate(Duration grace) {
    return client.terminateSandbox(id, grace);
  }

  /** Ends the sandbox at once; see {@link #terminate()}. */
  @Override
  public void close() {
    terminate();
  }

  private ExecuteRequest.Builder request() {
    return ExecuteRequest.newBuilder().setSandboxId(id);
  }
}
