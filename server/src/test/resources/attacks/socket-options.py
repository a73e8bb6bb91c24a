# Group: network
# Tries: socket options that load modules or need rights: TLS, SMC, other congestion controls, repair.
# Idea: CVE-2023-0461 (upper layer protocols), CVE-2021-22555 (filters by setsockopt).
# Outcome: refused, or without effect.
import socket
import struct

from attack import refused

server = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(server.getsockname())
for name in (b"smc", b"mptcp", b"espintcp", b"nothing"):
    refused("upper layer " + name.decode(), lambda: one.setsockopt(6, 31, name))
refused("repair", lambda: one.setsockopt(6, 19, struct.pack("=i", 1)))
refused("a queue of repair", lambda: one.setsockopt(6, 20, struct.pack("=i", 1)))
refused("buffers by force", lambda: one.setsockopt(socket.SOL_SOCKET, 33, struct.pack("=i", 1 << 30)))
refused("another's credentials", lambda: socket.socketpair()[0].sendmsg([b"x"], [(1, 2, struct.pack("=iii", 1, 0, 0))]))
