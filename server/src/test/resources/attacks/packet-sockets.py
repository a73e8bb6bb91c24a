# Group: network
# Tries: AF_PACKET, raw frames.
# Idea: CVE-2016-8655, CVE-2017-7308, CVE-2020-14386.
# Outcome: refused, for every type and by a pair too.
import socket

from attack import call_refused

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
    for protocol in (0, 3, 9, 12, 15, 768):
        call_refused("socket %d %d" % (kind, protocol), 41, 17, kind, protocol)
    call_refused("pair %d" % kind, 53, 17, kind, 0, bytes(8))
