package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Instant;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: an engine has as many sandboxes as it has places, whoever's they are.
final class EngineCapacityTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final EngineCapacity TWO = new EngineCapacity("local", OptionalInt.of(2));

  private final Books books = new Books(database);

  @Test
  void placesAreTakenByWhatStartsOrRunsAndGivenBackByAPauseAndTheEnd() {
    Books.Wish first = books.wish(books.tenant());
    Books.Wish second = books.wish(books.tenant());
    TenantId tenant = books.tenant();
    Books.Wish third = books.wish(tenant);
    admit(first);
    admit(second);

    EngineFull full = refused(third);
    assertThat(full).isEqualTo(new EngineFull("local", 2, 2));
    assertThat(full.asException().reason()).isEqualTo(ErrorReason.ENGINE_FULL);
    assertThat(full.asException().context())
        .containsEntry("engine", "local")
        .containsEntry("capacity", "2")
        .containsEntry("running", "2");
    assertThat(books.ledger.checkInvariants()).isEmpty(); // no hold is left
    // Another engine, or one without a bound, is no matter of it.
    assertThat(
            books.admit(books.wish(tenant), new EngineCapacity("other", OptionalInt.of(1)), NOON))
        .isInstanceOf(Admission.Granted.class);

    books.start(first, NOON);
    assertThat(refused(third)).isEqualTo(full);
    books.pause(first.sandboxId(), UsageReading.NOTHING, NOON.plusSeconds(1));
    admit(third);
    books.start(third, NOON.plusSeconds(2));

    assertThat(resume(first.sandboxId())).isEqualTo(new Extension.Full(full));
    // It can be renewed as it is, and goes on when there is a place.
    assertThat(books.extend(first.sandboxId(), NOON.plusSeconds(4)))
        .isInstanceOf(Extension.Renewed.class);
    books.pause(third.sandboxId(), UsageReading.NOTHING, NOON.plusSeconds(5));
    assertThat(resume(first.sandboxId())).isInstanceOf(Extension.Renewed.class);
    // What runs needs no other place to run on.
    assertThat(resume(first.sandboxId())).isInstanceOf(Extension.Renewed.class);
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  private void admit(Books.Wish wish) {
    assertThat(books.admit(wish, TWO, NOON)).isInstanceOf(Admission.Granted.class);
  }

  private EngineFull refused(Books.Wish wish) {
    if (books.admit(wish, TWO, NOON) instanceof Admission.Full full) {
      return full.engine();
    }
    throw new AssertionError("admitted");
  }

  private Extension resume(SandboxId sandbox) {
    return books.transactions.call(transaction ->
        books.ledger.resume(
            transaction, sandbox, 1, UsageReading.NOTHING, TWO, NOON.plusSeconds(6)));
  }
}
