# Group: network
# Tries: AF_VSOCK, by which the host of a virtual machine is reached, and which no network namespace holds.
# Idea: CVE-2021-26708, CVE-2025-21756; agents of virtual machines listen there without a password.
# Outcome: refused, for every type and by a pair too.
import socket

from attack import call_refused

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
    for protocol in (0, 3, 9, 12, 15, 768):
        call_refused("socket %d %d" % (kind, protocol), 41, 40, kind, protocol)
    call_refused("pair %d" % kind, 53, 40, kind, 0, bytes(8))
