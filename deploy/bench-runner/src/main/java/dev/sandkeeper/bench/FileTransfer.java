package dev.sandkeeper.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Random;

/**
 * How fast a file of 50 MB goes into a sandbox, or comes out of one, through the Java client; raw:
 * a copy of it on this machine.
 */
final class FileTransfer implements Row {
  private static final int BYTES = 50_000_000;
  private static final String IN_SANDBOX = "large.bin";

  private final String name;
  private final boolean up;

  private FileTransfer(String name, boolean up) {
    this.name = name;
    this.up = up;
  }

  static FileTransfer up() {
    return new FileTransfer("file_up", true);
  }

  static FileTransfer down() {
    return new FileTransfer("file_down", false);
  }

  @Override
  public Spec spec() {
    return new Spec(name, "MB/s", Better.HIGHER, Floor.ratio(0.1), 20, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    // By default an upload may have no more than 10 MB.
    Workplace place = lab.startWorkplace(Map.of("SANDKEEPER_FILES_MAX_UPLOAD_SIZE", "50 MB"));
    Path source = lab.folder().resolve("source.bin");
    Path target = lab.folder().resolve("target.bin");
    byte[] content = new byte[BYTES];
    new Random(1).nextBytes(content);
    Files.write(source, content);
    var _ = place.sandbox().files().upload(source, IN_SANDBOX);
    return Runs.of(
        () ->
            rate(() -> {
              if (up) {
                var _ = place.sandbox().files().upload(source, IN_SANDBOX);
              } else {
                var _ = place.sandbox().files().download(IN_SANDBOX, target);
              }
            }),
        () -> rate(() -> Files.copy(source, target, StandardCopyOption.REPLACE_EXISTING)));
  }

  private static double rate(Timing.Action action) throws IOException, InterruptedException {
    return BYTES / (Timing.millis(action) / 1e3) / 1e6;
  }
}
