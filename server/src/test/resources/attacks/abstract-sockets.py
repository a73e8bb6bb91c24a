# Group: network
# Tries: reach Unix sockets without a file, of the host and of another sandbox, by name.
# Idea: containerd CVE-2020-15257: its shim listened on one, for whoever shared the network namespace.
# Outcome: names are those of one's own network.
import socket

from attack import check, host, refused

with open("/proc/net/unix") as sockets:
    names = [line.split()[-1] for line in sockets if "@" in line]
check("none is to be seen", not names, names)
for name in (host("NAME"), host("NEIGHBOUR_NAME"), "/containerd-shim/1.sock", "/tmp/.X11-unix/X0", "/tmp/dbus-1"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        refused(name, lambda: socket.socket(socket.AF_UNIX, kind).connect(b"\0" + name.encode()))
