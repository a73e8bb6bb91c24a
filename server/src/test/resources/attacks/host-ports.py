# Group: network
# Tries: reach ports of the host: one that waits for it, the server's, the database's.
# Idea: code sandboxes that share the host's network reach its admin ports (Judge0's Docker socket and Redis).
# Outcome: nobody answers at any address.
import errno
import socket

from attack import host, refused

ADDRESSES = ("127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "10.0.2.2", "172.17.0.1")
for port in (int(host("PORT")), int(host("SERVER_PORT")), int(host("DATABASE_PORT")), 22, 2375, 5432, 7480):
    for address in ADDRESSES:

        def talk():
            with socket.create_connection((address, port), 1) as one:
                one.settimeout(1)
                return one.recv(100)

        refused("%s %d" % (address, port), talk, (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH))
