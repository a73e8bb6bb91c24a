package dev.sandkeeper.server.hardening;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

/** The two system calls that put a filter in place. */
// The start scripts allow it by --enable-native-access.
@SuppressWarnings("restricted")
final class Kernel {

  private static final long PRCTL = 157;
  private static final long SET_NO_NEW_PRIVILEGES = 38;
  private static final long SECCOMP = 317;
  private static final long SET_MODE_FILTER = 1;

  /** All threads that there are, not the calling one alone. */
  private static final long ALL_THREADS = 1;

  private static final int INSTRUCTION_BYTES = 8;
  private static final int PROGRAM_BYTES = 16;
  private static final int PROGRAM_POINTER = 8;

  private Kernel() {}

  /** Has the kernel ask a program about every system call of this process. */
  static void filter(List<Instruction> program) {
    MethodHandle systemCall = systemCall();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment instructions =
          arena.allocate((long) INSTRUCTION_BYTES * program.size(), Long.BYTES);
      for (int i = 0; i < program.size(); i++) {
        write(program.get(i), instructions.asSlice((long) INSTRUCTION_BYTES * i));
      }
      MemorySegment header = arena.allocate(PROGRAM_BYTES, Long.BYTES);
      header.set(ValueLayout.JAVA_SHORT, 0, (short) program.size());
      header.set(ValueLayout.ADDRESS, PROGRAM_POINTER, instructions);
      call(systemCall, "prctl(PR_SET_NO_NEW_PRIVS)", PRCTL, SET_NO_NEW_PRIVILEGES, 1, 0);
      call(
          systemCall,
          "seccomp(SECCOMP_SET_MODE_FILTER)",
          SECCOMP,
          SET_MODE_FILTER,
          ALL_THREADS,
          header.address());
    }
  }

  private static void write(Instruction instruction, MemorySegment target) {
    target.set(ValueLayout.JAVA_SHORT, 0, (short) instruction.code());
    target.set(ValueLayout.JAVA_BYTE, 2, (byte) instruction.whenTrue());
    target.set(ValueLayout.JAVA_BYTE, 3, (byte) instruction.whenFalse());
    target.set(ValueLayout.JAVA_INT, 4, instruction.operand());
  }

  /**
   * Returns the C library's {@code syscall}, with room for as many arguments as these calls read.
   */
  private static MethodHandle systemCall() {
    Linker linker = Linker.nativeLinker();
    ValueLayout.OfLong word = ValueLayout.JAVA_LONG;
    return linker.downcallHandle(
        linker.defaultLookup().findOrThrow("syscall"),
        FunctionDescriptor.of(word, word, word, word, word, word, word),
        Linker.Option.firstVariadicArg(1));
  }

  private static void call(
      MethodHandle systemCall, String name, long number, long first, long second, long third) {
    long result;
    try {
      result = (long) systemCall.invokeExact(number, first, second, third, 0L, 0L);
    } catch (Throwable e) {
      throw new IllegalStateException(name + " cannot be called", e);
    }
    // A thread that could not be included is told by its id, which is not zero either.
    if (result != 0) {
      throw new IllegalStateException(name + " answered " + result + " (expected: 0)");
    }
  }
}
