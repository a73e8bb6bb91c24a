# Group: network
# Tries: reach the port of a program in another sandbox, and thousands of others of one's own loopback.
# Idea: sandboxes of one network see each other's notebooks and debuggers.
# Outcome: one's own loopback is one's own; nobody else is there.
import errno
import socket

from attack import check, host, refused

port = int(host("NEIGHBOUR_PORT"))
for address in ("127.0.0.1", "::1", "0.0.0.0", "127.0.0.2"):
    refused(address, lambda: socket.create_connection((address, port), 1), (errno.ECONNREFUSED, errno.ENETUNREACH))
reached = []
# A part of them, as all take seconds.
for number in range(1, 65536, 8):
    with socket.socket() as one:
        if one.connect_ex(("127.0.0.1", number)) == 0 and one.getsockname() != one.getpeername():
            reached.append(number)
check("no other port answers", not reached, reached)
