# Group: network
# Tries: AF_ALG, the kernel's ciphers.
# Idea: CVE-2017-17805, CVE-2019-8912, and the module loading that comes with it.
# Outcome: refused, for every type and by a pair too.
import socket

from attack import call_refused

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
    for protocol in (0, 3, 9, 12, 15, 768):
        call_refused("socket %d %d" % (kind, protocol), 41, 38, kind, protocol)
    call_refused("pair %d" % kind, 53, 38, kind, 0, bytes(8))
