# Tries: with the rights of the agent, and as the sandbox's root, which the agent can become: the host, the server,
# the neighbour's agent, and to change what the engine looks at.
# Idea: the second stage of an escape: first the supervisor inside, then what the supervisor is trusted with.
# Outcome: the agent's own socket is all there is.
import glob
import os
import socket

from attack import call, check, host, refused


def tries(who):
    for path in (host("FILE"), host("SERVER_KEY"), host("NEIGHBOUR_SOCKET"), host("SERVER_DATA"), host("DATABASE_FOLDER")):
        refused("%s: %s" % (who, path), lambda: os.stat(path))
    refused(who + ": the neighbour's socket", lambda: socket.socket(socket.AF_UNIX).connect(host("NEIGHBOUR_SOCKET")))
    for name in ("PORT", "SERVER_PORT", "DATABASE_PORT", "NEIGHBOUR_PORT"):
        for address in ("127.0.0.1", "::1"):
            refused("%s: %s" % (who, name), lambda: socket.create_connection((address, int(host(name))), 1))
    for path in ("/run/sandkeeper/engine.sock", "/run/sandkeeper/paid-until", "/run/sandkeeper/new"):
        refused("%s: remove %s" % (who, path), lambda: os.unlink(path))
        refused("%s: replace %s" % (who, path), lambda: os.rename("/tmp", path))
    refused(who + ": a socket beside the engine's", lambda: socket.socket(socket.AF_UNIX).bind("/run/sandkeeper/mine"))
    refused(who + ": another paid time", lambda: os.open("/run/sandkeeper/paid-until", os.O_WRONLY))
    refused(who + ": the host's programs", lambda: os.open("/usr/bin/python3", os.O_WRONLY))
    refused(who + ": a core pattern", lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    refused(who + ": sysrq", lambda: os.open("/proc/sysrq-trigger", os.O_WRONLY))
    refused(who + ": a disk", lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0)))
    for identity in (65536, 100000, 1000000):
        refused("%s: user %d" % (who, identity), lambda: os.setresuid(identity, identity, identity))
    for number, name in ((165, "mount"), (166, "umount"), (272, "unshare"), (308, "setns"), (155, "pivot_root")):
        result = call(number, 0x10000000, 0, 0, 0, 0)
        check("%s: %s" % (who, name), result < 0, result)
    for path in glob.glob("/proc/[0-9]*/root"):
        try:
            seen = os.listdir(path + os.path.dirname(host("FILE")))
        except OSError:
            seen = []
        check("%s: %s" % (who, path), not seen, seen)


check("this is the agent", os.getresuid() == (998, 998, 998), os.getresuid())
tries("agent")
os.setresgid(0, 0, 0)
os.setresuid(0, 0, 0)
tries("root")
