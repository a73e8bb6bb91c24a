# Group: network
# Tries: every other family of sockets, whose modules the kernel loads for whoever asks.
# Idea: CVE-2021-43267 (TIPC), CVE-2017-6074 (DCCP), CVE-2019-8956 (SCTP), CVE-2022-2590's kin; rarely used code.
# Outcome: refused.
import socket

from attack import call_refused

for family in [number for number in range(0, 64) if number not in (1, 2, 10)]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        call_refused("family %d type %d" % (family, kind), 41, family, kind, 0)
