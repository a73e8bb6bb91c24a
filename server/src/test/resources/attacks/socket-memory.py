# Group: memory
# Tries: keep as much as possible in the buffers of network sockets, which the kernel bounds for the whole machine.
# Idea: tcp_mem is one bound for all; on version 1 control groups sockets do not count as memory.
# Outcome: less than the sandbox may have; the neighbour's sockets work.
# Sandbox: own
# Holds: yes
import socket

from attack import check, hold

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
held_bytes, kept = 0, []
for _ in range(400):
    try:
        one = socket.create_connection(listener.getsockname(), 1)
        kept.append((one, listener.accept()[0]))
    except OSError:
        break
    for end in kept[-1]:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        end.setblocking(False)
        try:
            while True:
                held_bytes += end.send(bytes(1000000))
        except OSError:
            pass
check("%d bytes" % held_bytes, held_bytes < 256 << 20)
hold()
