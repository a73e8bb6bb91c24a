# Group: network
# Tries: reach the world, private networks, the cloud's metadata and name servers.
# Idea: credentials of the machine at 169.254.169.254; exfiltration by DNS; sandbox-runtime's empty allow-list meant all.
# Outcome: there is no route.
import errno
import socket

from attack import check, refused

for address in ("169.254.169.254", "fd00:ec2::254", "192.0.2.1", "10.0.0.1", "192.168.1.1", "1.1.1.1", "2001:db8::1", "224.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):

        def connect():
            with socket.socket(family, kind) as one:
                one.settimeout(1)
                one.connect((address, 53))

        refused("%s %s" % (address, kind.name), connect, (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH))
try:
    found = socket.getaddrinfo("example.com", 80)
except socket.gaierror:
    found = []
check("no name is found", not found, found)
with open("/proc/net/dev") as devices:
    check("it is the loopback", [line.split(":")[0].strip() for line in devices][2:] == ["lo"])
