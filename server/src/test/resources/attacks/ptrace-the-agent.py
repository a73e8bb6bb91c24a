# Group: processes
# Tries: attach to process 1 and to all that is to be seen or guessed, and read or write its memory.
# Idea: supervisors under the user's own id are taken over so (dify-sandbox, early judges); CVE-2019-13272.
# Outcome: none but one's own can be traced, read or written.
# Sandbox: own
import ctypes
import os

from attack import call, check, held, name_of

PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


room = ctypes.create_string_buffer(64)
local = Vector(ctypes.addressof(room), 64)
remote = Vector(0x400000, 64)
got = []
for pid in range(1, 400):
    if pid == os.getpid():
        continue
    for what, result in (
        ("attach", call(101, PTRACE_ATTACH, pid, 0, 0)),
        ("seize", call(101, PTRACE_SEIZE, pid, 0, 0)),
        ("read", call(310, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)),
        ("write", call(311, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)),
        ("compare", call(312, pid, os.getpid(), 0, 0, 0)),
    ):
        # Without rights even whether the address is one is not told.
        if result >= 0 or -result not in (1, 3, 13, 38):
            got.append((pid, what, name_of(-result)))
check("nothing of another", not got, got)
result = call(302, 1, 7, 0, ctypes.create_string_buffer(16))
check("nor the limits of process 1: " + name_of(-result), result < 0)
held("400 numbers tried")
