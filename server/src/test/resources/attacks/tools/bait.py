"""Listens where attacks would get to: on a port of every address and on a name without a file.

Says where on the first line, tells whoever comes the secret it got as its argument, and prints a line for each.
"""

import os
import select
import socket
import sys

secret, name = sys.argv[1], sys.argv[2]
port = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
abstract = socket.socket(socket.AF_UNIX)
abstract.bind(b"\0" + name.encode())
abstract.listen()
print(port.getsockname()[1], os.getpid(), flush=True)
while True:
    for ready in select.select([port, abstract], [], [])[0]:
        with ready.accept()[0] as caller:
            caller.sendall(secret.encode())
        print("reached", flush=True)
