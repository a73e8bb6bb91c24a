# Group: network
# Tries: flood one's own loopback with datagrams from all processors, for a second.
# Idea: the kernel's soft interrupts are everybody's.
# Outcome: the neighbour and the agent work on.
import os
import socket
import time

from attack import held

end = time.monotonic() + 1
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("127.0.0.1", 0))
for _ in range(4):
    if os.fork() == 0:
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source.setblocking(False)
        while time.monotonic() < end:
            try:
                source.sendto(bytes(1400), sink.getsockname())
            except OSError:
                pass
        os._exit(0)
for _ in range(4):
    os.wait()
held("flooded")
