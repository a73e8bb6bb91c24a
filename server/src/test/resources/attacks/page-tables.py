# Group: memory
# Tries: take the kernel's memory by page tables: a byte in every two megabytes of a huge address space.
# Idea: the process looks small, and its tables are not; so old out-of-memory killers chose somebody else.
# Outcome: tables count; it is ended at the limit.
# Sandbox: own
# Ends: COMPLETED, OUT_OF_MEMORY, SIGNALED
import ctypes
import mmap

from attack import held, libc

held("it begins")
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
size = 1 << 38
start = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, -1, 0)
if start and start != ctypes.c_void_p(-1).value:
    for offset in range(0, size, 1 << 21):
        ctypes.c_char.from_address(start + offset).value
held("all read")
