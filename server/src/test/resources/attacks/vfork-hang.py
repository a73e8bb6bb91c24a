# Group: processes
# Tries: be in a sleep that no signal but the last one ends: a parent that waits for its vforked child, which stops.
# Idea: processes in the state D kept judges from ending their jobs.
# Outcome: the deadline ends both.
# Deadline: 1
# Ends: DEADLINE
import ctypes

from attack import held, libc

held("it begins")
libc.vfork.restype = ctypes.c_int
# CLONE_VFORK, and for the child a copy of the memory.
if libc.syscall(ctypes.c_long(56), ctypes.c_long(0x4000 | 17), 0, 0, 0, 0) == 0:
    libc.pause()
