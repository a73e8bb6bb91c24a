# Group: memory
# Tries: lock memory, in each of many processes.
# Idea: what is locked cannot be taken back; limits per process multiply.
# Outcome: a little, all processes of the user together.
# Sandbox: own
# Holds: yes
import ctypes
import mmap
import os

from attack import check, hold, libc

total = 0
size = 64 * 1024
memory = mmap.mmap(-1, 256 << 20)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
while total < 256 << 20 and libc.mlock(start + total, size) == 0:
    total += size
check("%d bytes locked" % total, total <= 8 << 20, total)
check("nor all of it", libc.mlockall(3) != 0)
hold()
