# Group: network
# Tries: fill Unix sockets with sockets that are full of sockets, and drop them, for the kernel to collect.
# Idea: CVE-2021-0920 and the long held lock of its garbage collector.
# Outcome: bounded by the number of files in flight; the neighbour does not wait.
# Sandbox: own
import array
import socket
import time

from attack import held

end = time.monotonic() + 1
count = 0
while time.monotonic() < end:
    last = socket.socketpair()
    try:
        for _ in range(200):
            pair = socket.socketpair()
            pair[0].setblocking(False)
            rights = array.array("i", [last[0].fileno(), last[1].fileno()])
            pair[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            last[0].close()
            last[1].close()
            last = pair
            count += 1
    except OSError as error:
        held("refused: %d" % error.errno)
        break
    finally:
        last[0].close()
        last[1].close()
held("%d in flight" % count)
