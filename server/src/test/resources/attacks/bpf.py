# Group: kernel
# Tries: maps and programs of BPF, by the call and on sockets.
# Idea: CVE-2020-8835, CVE-2021-3490, CVE-2022-23222: verifier holes.
# Outcome: the call is refused; a socket takes the old, harmless kind only.
import socket
import struct

from attack import call_refused, refused

for command in (0, 5, 18):
    call_refused("bpf %d" % command, 321, command, bytes(128), 128)
with socket.socket() as one:
    refused("an extended program on a socket", lambda: one.setsockopt(socket.SOL_SOCKET, 50, struct.pack("=i", 3)))
    refused("of a group of ports", lambda: one.setsockopt(socket.SOL_SOCKET, 52, struct.pack("=i", 3)))
