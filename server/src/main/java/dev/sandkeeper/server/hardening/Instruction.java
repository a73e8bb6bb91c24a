package dev.sandkeeper.server.hardening;

/**
 * One instruction of the classic packet filter by which the kernel decides about a system call:
 * {@code struct sock_filter} of {@code linux/filter.h}.
 *
 * @param code what to do
 * @param whenTrue instructions to skip when a comparison holds
 * @param whenFalse instructions to skip when it does not
 * @param operand a number, by the code
 */
record Instruction(int code, int whenTrue, int whenFalse, int operand) {

  // Where things stand in struct seccomp_data; of an argument its lower half.
  static final int NUMBER = 0;
  static final int ARCHITECTURE = 4;
  static final int FIRST_ARGUMENT = 16;

  static final int X86_64 = 0xC000003E;
  static final int X32_BIT = 0x40000000;

  private static final int LOAD_WORD = 0x20;
  private static final int JUMP_IF_EQUAL = 0x15;
  private static final int JUMP_IF_AT_LEAST = 0x35;
  private static final int RETURN = 0x06;

  private static final int ACTION_ALLOW = 0x7FFF0000;
  private static final int ACTION_ERRNO = 0x00050000;

  /** Loads a word of the call, for the comparisons behind it. */
  static Instruction load(int offset) {
    return new Instruction(LOAD_WORD, 0, 0, offset);
  }

  /** Skips some instructions unless the loaded word is a value. */
  static Instruction skipUnlessEqual(int value, int skipped) {
    return new Instruction(JUMP_IF_EQUAL, 0, skipped, value);
  }

  /** Skips some instructions unless the loaded word, without a sign, is a value or more. */
  static Instruction skipUnlessAtLeast(int value, int skipped) {
    return new Instruction(JUMP_IF_AT_LEAST, 0, skipped, value);
  }

  /** Lets the call pass. */
  static Instruction allow() {
    return new Instruction(RETURN, 0, 0, ACTION_ALLOW);
  }

  /** Fails the call with an error number. */
  static Instruction refuse(int errno) {
    return new Instruction(RETURN, 0, 0, ACTION_ERRNO | errno);
  }
}
