package dev.sandkeeper.server.api;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/** Times on the wire. */
final class Times {
  private Times() {}

  static Timestamp toProto(Instant time) {
    return Timestamp.newBuilder()
        .setSeconds(time.getEpochSecond())
        .setNanos(time.getNano())
        .build();
  }

  static com.google.protobuf.Duration toProto(Duration duration) {
    return com.google.protobuf.Duration.newBuilder()
        .setSeconds(duration.getSeconds())
        .setNanos(duration.getNano())
        .build();
  }

  static Instant fromProto(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }

  static Optional<Duration> fromProto(boolean present, com.google.protobuf.Duration duration) {
    return present
        ? Optional.of(Duration.ofSeconds(duration.getSeconds(), duration.getNanos()))
        : Optional.empty();
  }
}
