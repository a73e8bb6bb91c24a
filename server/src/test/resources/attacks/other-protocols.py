# Group: network
# Tries: raw sockets, ICMP, and the protocols beside TCP and UDP.
# Idea: CVE-2020-14386's kin; Multipath TCP, UDP-Lite, SCTP and DCCP have bounds and holes of their own.
# Outcome: refused.
import socket

from attack import call_refused

for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 6):
        for protocol in (1, 2, 33, 47, 50, 58, 115, 132, 136, 255, 256, 262):
            call_refused("%d %d %d" % (family, kind, protocol), 41, family, kind, protocol)
    for protocol in (0, 6, 17):
        call_refused("raw %d" % protocol, 41, family, 3, protocol, errors=(1, 93, 94))
