# Group: processes
# Tries: have the kernel send the signal, as owner of a file, by a lease, or by a parent's death.
# Idea: indirect senders have forgotten to check rights more than once (F_SETOWN, mq_notify, CVE-2012-0056's kind).
# Outcome: signals arrive nowhere but at oneself.
import fcntl
import os
import signal
import socket

from attack import call, held, in_child


def send(pid):
    ours, theirs = socket.socketpair()
    fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
    fcntl.fcntl(ours, 10, signal.SIGKILL)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    theirs.send(b"x")
    ours.recv(1)
    with open("/tmp/leased", "w") as file:
        fcntl.fcntl(file, fcntl.F_SETOWN, pid)
        fcntl.fcntl(file, 1024, fcntl.F_WRLCK)


def is_own(pid):
    """Whether it is one of the user's, which may end it."""
    try:
        return os.stat("/proc/%d" % pid).st_uid == os.getuid()
    except FileNotFoundError:
        return False


for pid in (1, 2, 3, 4, 5, -1, -2):
    if is_own(abs(pid)):
        continue
    held("owner %d: %d" % (pid, in_child(lambda: send(pid))))
held("a parent's death: %d" % in_child(lambda: call(157, 1, 9)))
os.unlink("/tmp/leased")
