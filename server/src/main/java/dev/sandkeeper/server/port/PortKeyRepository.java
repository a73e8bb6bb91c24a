package dev.sandkeeper.server.port;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;

/** Keeps what the URLs of ports are signed with. */
public interface PortKeyRepository {
  /** Returns the keys, newest first; there are a few. */
  List<PortKey> list();

  /** Returns the keys, newest first, once no other transaction is between this call and its end. */
  List<PortKey> lockedList(Transaction transaction);

  /** Adds a key. */
  void insert(Transaction transaction, PortKey key);

  /** Deletes the keys that were made before a time. */
  void deleteOlderThan(Transaction transaction, Instant time);
}
