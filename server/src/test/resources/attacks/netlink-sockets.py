# Group: network
# Tries: AF_NETLINK, by which networks, filters and audits are set up.
# Idea: CVE-2022-34918, CVE-2023-32233, CVE-2024-1086 in nf_tables.
# Outcome: refused, for every type and by a pair too.
import socket

from attack import call_refused

for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
    for protocol in (0, 3, 9, 12, 15, 768):
        call_refused("socket %d %d" % (kind, protocol), 41, 16, kind, protocol)
    call_refused("pair %d" % kind, 53, 16, kind, 0, bytes(8))
