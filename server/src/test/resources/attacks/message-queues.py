# Group: memory
# Tries: keep messages in System V and POSIX queues, signals in their queue, and locks in the kernel.
# Idea: what is counted by user and not by group is shared with whoever has the same id, or made the namespace.
# Outcome: each ends at a limit of this sandbox's own; the neighbour's work.
# Sandbox: own
# Holds: yes
# Ends: COMPLETED, OUT_OF_MEMORY, SIGNALED
# Next: may be refused
import ctypes
import fcntl
import os
import resource
import signal

from attack import call, check, hold

queues, sent = 0, 0
buffer = ctypes.create_string_buffer(8 + 8192)
buffer[0] = 1
while queues < 4000:
    queue = call(68, 0, 0o1600)
    if queue < 0:
        break
    queues += 1
    while call(69, queue, buffer, 8192, 0o4000) == 0:
        sent += 8192
check("%d bytes in %d queues" % (sent, queues), sent < 256 << 20)

opened = 0
while opened < 4000 and call(240, b"queue%d" % opened, os.O_CREAT | os.O_RDWR, 0o600, 0) >= 0:
    opened += 1
check("%d POSIX queues" % opened, opened < 10, opened)

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
queued = 0
information = ctypes.create_string_buffer(128)
information[8] = 0xFF
for position, value in enumerate((-1 & 0xFFFFFFFF).to_bytes(4, "little")):
    information[8 + position] = value
while queued < 200000 and call(129, os.getpid(), int(signal.SIGRTMIN), information) == 0:
    queued += 1
check("%d signals" % queued, queued <= resource.getrlimit(resource.RLIMIT_SIGPENDING)[0] and queued < 10000, queued)

locks = 0
with open("/tmp/locked", "w") as file:
    try:
        while locks < 3000:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, locks * 2)
            locks += 1
    except OSError:
        pass
check("%d locks" % locks, True)
hold()
