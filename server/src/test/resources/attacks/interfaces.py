# Group: network
# Tries: change networks: addresses, routes, interfaces, filters, tunnels.
# Idea: rights over one's own network namespace open nf_tables and more (CVE-2023-32233).
# Outcome: none of it without rights.
import fcntl
import os
import socket
import struct

from attack import refused

one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = struct.pack("=16sH2xI16s", b"lo", socket.AF_INET, 0, bytes(16))
for what, number in (
    ("down", 0x8914),
    ("address", 0x8916),
    ("route", 0x890B),
    ("name", 0x8923),
    ("bridge", 0x89A0),
    ("queue", 0x8943),
    ("arp", 0x8955),
):
    refused(what, lambda: fcntl.ioctl(one, number, request))
refused("a tunnel", lambda: os.open("/dev/net/tun", os.O_RDWR))
for level, option in ((0, 64), (41, 64), (0, 128)):
    refused("a table of filters %d" % level, lambda: one.setsockopt(level, option, bytes(128)))
refused("another's interface", lambda: one.setsockopt(socket.SOL_SOCKET, 33, struct.pack("=i", 1 << 30)))
refused("a mark", lambda: one.setsockopt(socket.SOL_SOCKET, 36, struct.pack("=i", 1)))
refused("ip_forward", lambda: os.open("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY))
