# Group: kernel
# Tries: calls of 32-bit programs by int 0x80, whose numbers mean something else to a filter.
# Idea: seccomp filters that do not look at the architecture; docker's and Chrome's first ones.
# Outcome: the process is killed, or the call refused.
import ctypes
import mmap
import os

from attack import check, in_child


def run(code):
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()


def attempt(number, what):
    # push rbx; mov eax, number; xor ebx, ebx; int 0x80; pop rbx; ret
    code = b"\x53\xb8" + number.to_bytes(4, "little") + b"\x31\xdb\xcd\x80\x5b\xc3"
    status = in_child(lambda: run(code) >= 0)
    check("%s: %d" % (what, status), os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status)


attempt(20, "getpid")
attempt(21, "mount")
attempt(310, "unshare")
attempt(102, "socketcall")
attempt(11, "execve")
check("code of one's own runs otherwise", in_child(lambda: run(b"\xb8\x01\0\0\0\xc3") == 1) == 256)
