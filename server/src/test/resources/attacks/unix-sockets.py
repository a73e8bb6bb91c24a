# Group: network
# Tries: Unix sockets by their files: the engine's, the neighbour's, the container engines', the database's.
# Idea: a bound docker.sock is root on the host; most agent sandboxes have been broken so at least once.
# Outcome: none is there, or it is closed.
import glob
import os
import socket
import stat

from attack import check, host, refused

for path in (
    "/run/sandkeeper/engine.sock",
    host("NEIGHBOUR_SOCKET"),
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/var/run/postgresql/.s.PGSQL.5432",
    "/tmp/.s.PGSQL." + host("DATABASE_PORT"),
):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        refused(path, lambda: socket.socket(socket.AF_UNIX, kind).connect(path))
found = []
for folder, _, names in os.walk("/", onerror=None):
    if folder.startswith(("/proc", "/usr")):
        continue
    found += [folder + "/" + name for name in names if stat.S_ISSOCK(os.lstat(folder + "/" + name).st_mode)]
check("no socket lies about", not found, found)
