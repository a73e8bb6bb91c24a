# Group: kernel
# Tries: undo the filter: by a filter of one's own that allows all or answers for the kernel, or by its mode.
# Idea: dify-sandbox lets the job set up its own filter first; listeners (SECCOMP_RET_USER_NOTIF) that say "continue".
# Outcome: filters only add up.
import ctypes
import errno
import os
import struct

from attack import call, call_refused, check, in_child

program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
listener = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FC00000))


def install(filter, flags):
    head = struct.pack("=HxxxxxxQ", 1, ctypes.addressof(filter))
    return call(317, 1, flags, ctypes.create_string_buffer(head))


def allow_all():
    install(program, 0)
    return call(165, b"none", b"/tmp", b"tmpfs", 0, 0) >= 0 or call(272, 0x10000000) >= 0


def no_filter():
    return call(157, 22, 0) >= 0


check("mounts after a filter that allows all", os.WEXITSTATUS(in_child(allow_all)) == 0)
check("the mode set back", os.WEXITSTATUS(in_child(no_filter)) == 0)
in_child(lambda: install(listener, 8) < 0 and None, seconds=1)
call_refused("the filter read", 101, 0x420C, os.getpid(), 0, 0, errors=(errno.EPERM, errno.EACCES, errno.ESRCH))
with open("/proc/self/status") as status:
    check("the filter is on", "Seccomp:\t2" in status.read())
