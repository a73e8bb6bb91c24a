# Group: engine
# Tries: find the server's secrets: its data folder, keys, the database's password, its environment and process.
# Idea: leaked environments of whoever starts the job (Judge0's, CI runners'), world-readable keys.
# Outcome: none of it is here.
import glob
import os

from attack import check, host, refused

for path in (
    host("SERVER_KEY"),
    host("SERVER_DATA"),
    host("DATABASE_FOLDER"),
    "/proc/%s/environ" % host("PID"),
    "/proc/%s/cwd" % host("PID"),
    "/etc/shadow",
    "/etc/sandkeeper",
    "/root",
    "/var/lib",
    "/home/sandkeeper",
    "/run/secrets",
    "/etc/ssh",
    "/etc/krb5.keytab",
    "/run/sandkeeper",
):
    try:
        seen = os.listdir(path)
    except OSError:
        seen = []
    check("nothing in " + path, not seen, seen)
    refused("read " + path, lambda: open(path, "rb").read(1))
given = {name for name in os.environ if not name.startswith("HOST_")}
odd = [name for name in given if "PASSWORD" in name or "SECRET" in name or "KEY" in name or name.startswith("SANDKEEPER")]
check("nothing of the server's in the environment", not odd, odd)
personal = [path for path in glob.glob("/etc/**", recursive=True) if "private" in path or path.endswith((".key", "shadow", "hosts.equiv"))]
check("nothing personal in /etc", not personal, personal)
with open("/proc/self/mounts") as mounts:
    check("mounts tell no path of the host's", host("SERVER_DATA") not in mounts.read())
