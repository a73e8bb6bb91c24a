package dev.sandkeeper.server.engine;

/**
 * The terminal that a program runs in.
 *
 * @param rows how many lines it has, 1 to 65,535
 * @param columns how many characters a line has, 1 to 65,535
 * @param name its name in the terminfo database; not empty, no NUL
 */
public record Terminal(int rows, int columns, String name) {
  private static final int MAX = 65_535;

  public Terminal {
    checkSize(rows, columns);
    Checks.noNul("name", name);
    if (name.isEmpty()) {
      throw new IllegalArgumentException("name is empty (expected: a terminal's name)");
    }
  }

  /** Checks what the kernel keeps in 16 bits each. */
  public static void checkSize(int rows, int columns) {
    if (rows < 1 || rows > MAX || columns < 1 || columns > MAX) {
      throw new IllegalArgumentException(
          "size: " + rows + "x" + columns + " (expected: 1 to " + MAX + " each)");
    }
  }
}
