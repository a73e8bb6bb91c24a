package dev.sandkeeper.client;

import java.util.OptionalLong;

/** Watches how far an upload or a download is. */
@FunctionalInterface
public interface TransferListener {
  /**
   * Learns that more bytes went over, on the thread that transfers.
   *
   * @param bytes how many by now
   * @param totalBytes how many there will be; empty when that is not known
   */
  void onProgress(long bytes, OptionalLong totalBytes);
}
