package dev.sandkeeper.server.redaction;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** A private key as PEM, also one within JSON or with lines cut otherwise. */
final class PrivateKeyShape implements Shape {
  private static final byte[] PREFIX = "-----BEGIN ".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] LABEL = "PRIVATE KEY".getBytes(StandardCharsets.US_ASCII);
  private static final int MAX_LABEL_BYTES = 40;
  private static final int MAX_BYTES = 16 * 1024;
  private static final int DASHES = 5;

  @Override
  public List<byte[]> prefixes() {
    return List.of(PREFIX);
  }

  @Override
  public byte[] mark() {
    return Redaction.mark("private-key");
  }

  @Override
  public boolean isWord() {
    return false;
  }

  @Override
  public int match(byte[] data, int start, int limit) {
    if (!Shape.beginsWith(PREFIX, data, start, limit)) {
      return NO;
    }
    int begin = start + PREFIX.length;
    for (int at = begin; at < limit; at++) {
      byte character = data[at];
      boolean isOfLabel =
          (character >= 'A' && character <= 'Z')
              || (character >= '0' && character <= '9')
              || character == ' ';
      if (!isOfLabel || at - begin >= MAX_LABEL_BYTES) {
        return NO;
      }
      int end = at + 1;
      if (Shape.endsWith(LABEL, data, begin, end)) {
        return end;
      }
    }
    return OPEN;
  }

  /** Nothing of the key comes before it is known. */
  @Override
  public boolean holds(int bytes) {
    return false;
  }

  @Override
  public boolean isOpenEnded() {
    return true;
  }

  /** Ends with the dashes behind {@code -----END}, or at what is no text. */
  @Override
  public Tail tail(byte[] data, int start, int end) {
    return new Tail() {
      private int left = MAX_BYTES;
      private int dashes;
      private boolean atEnd;
      private boolean ended;

      @Override
      public int follow(byte[] data, int from, int limit) {
        int at = from;
        while (at < limit && left > 0 && !ended && isText(data[at])) {
          byte character = data[at];
          if (character == '-') {
            dashes++;
            ended = atEnd && dashes == DASHES;
          } else {
            atEnd |= dashes >= DASHES && character == 'E';
            dashes = 0;
          }
          at++;
          left--;
        }
        return at;
      }
    };
  }

  private static boolean isText(byte character) {
    return (character >= ' ' && character <= '~')
        || character == '\n'
        || character == '\r'
        || character == '\t';
  }
}
