"""What the attack programs share: raw system calls, and how they say what they saw.

A line `held: ...` tells of a step that failed as it must, a line `BROKEN: ...` of one that did not.
"""

import ctypes
import errno
import os
import signal
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# How a filter of system calls, or a kernel that lacks the call, refuses.
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.EACCES)


def held(what):
    print("held:", what, flush=True)


def broken(what):
    print("BROKEN:", what, flush=True)


def check(what, good, seen=""):
    """Says whether something is as it must be."""
    if good:
        held(what)
    else:
        broken("%s: %.300s" % (what, seen))


def name_of(code):
    return errno.errorcode.get(code, str(code))


def refused(what, action, errors=None):
    """Expects an OSError, one of those numbers where some are named."""
    try:
        result = action()
    except OSError as error:
        check("%s: %s" % (what, name_of(error.errno)), errors is None or error.errno in errors)
        return
    broken("%s: %.300r" % (what, result))


def call(number, *arguments):
    """Makes a raw system call; returns its result, or its error number below zero."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    values += [ctypes.c_long(0)] * (6 - len(values))
    result = libc.syscall(ctypes.c_long(number), *values)
    return -ctypes.get_errno() if result == -1 else result


def call_refused(what, number, *arguments, errors=REFUSALS):
    """Expects that a system call does not even reach what it is for."""
    result = call(number, *arguments)
    check(
        "%s: %s" % (what, name_of(-result)),
        result < 0 and -result in errors,
        "it returned %d" % result,
    )


def in_child(action, seconds=5):
    """Runs something in a process of its own; returns its wait status.

    The exit code is 0 when it returned false or nothing, 1 when it returned true, 2 when it raised.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            signal.alarm(seconds)
            code = 1 if action() else 0
        except BaseException as error:
            print("note:", type(error).__name__, error)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def processes():
    """Returns the process ids that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def hold():
    """Keeps what it has until the host has looked."""
    print("waiting", flush=True)
    for _ in range(2000):
        if os.path.exists("/home/user/go"):
            return
        time.sleep(0.005)


def host(name):
    """Returns what the attacker is told of the host, which helps: a path, a port, a name."""
    return os.environ["HOST_" + name]
