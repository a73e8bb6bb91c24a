package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.PORT_KEY;

import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.port.PortKey;
import dev.sandkeeper.server.port.PortKeyRepository;
import java.time.Instant;
import java.util.List;
import org.jooq.DSLContext;

/** The keys that URLs of ports are signed with, in {@code port_key}. */
final class JooqPortKeyRepository implements PortKeyRepository {
  private final DSLContext context;

  JooqPortKeyRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public List<PortKey> list() {
    return list(context);
  }

  @Override
  public List<PortKey> lockedList(Transaction transaction) {
    return list(JooqTransaction.lockedContextOf(transaction, "sandkeeper.port_key"));
  }

  @Override
  public void insert(Transaction transaction, PortKey key) {
    JooqTransaction.contextOf(transaction)
        .insertInto(PORT_KEY)
        .set(PORT_KEY.PORT_KEY_ID, key.keyId())
        .set(PORT_KEY.SECRET, key.secret())
        .set(PORT_KEY.CREATE_TIME, key.createTime())
        .execute();
  }

  @Override
  public void deleteOlderThan(Transaction transaction, Instant time) {
    JooqTransaction.contextOf(transaction)
        .deleteFrom(PORT_KEY)
        .where(PORT_KEY.CREATE_TIME.lt(time))
        .execute();
  }

  private static List<PortKey> list(DSLContext inside) {
    return inside
        .select(PORT_KEY.PORT_KEY_ID, PORT_KEY.SECRET, PORT_KEY.CREATE_TIME)
        .from(PORT_KEY)
        .orderBy(PORT_KEY.CREATE_TIME.desc(), PORT_KEY.PORT_KEY_ID)
        .fetch(row -> new PortKey(row.value1(), row.value2(), row.value3()));
  }
}
