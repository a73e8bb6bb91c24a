# Group: processes
# Tries: live longer than was paid for: by the note of the paid time, the agent's clock, its socket.
# Idea: a sandbox that ends itself can be kept from it if the job reaches what it looks at.
# Outcome: all of that is closed.
import os
import socket
import time

from attack import call_refused, refused

for path in ("/run/sandkeeper/paid-until", "/run/sandkeeper/engine.sock", "/run/sandkeeper"):
    refused("read " + path, lambda: os.open(path, os.O_RDONLY))
    refused("write " + path, lambda: os.open(path, os.O_WRONLY))
    refused("remove " + path, lambda: os.unlink(path))
refused("list", lambda: os.listdir("/run/sandkeeper"))
refused("put another in its place", lambda: os.rename("/run/sandkeeper", "/run/old"))
refused("a socket beside it", lambda: socket.socket(socket.AF_UNIX).bind("/run/sandkeeper/mine"))
refused("connect", lambda: socket.socket(socket.AF_UNIX).connect("/run/sandkeeper/engine.sock"))
refused("set the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
call_refused("settimeofday", 164, bytes(16), 0)
call_refused("adjtimex", 159, bytes(208))
call_refused("a namespace of time", 272, 0x80)
