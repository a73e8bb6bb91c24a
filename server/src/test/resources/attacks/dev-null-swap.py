# Group: files
# Tries: put links in the place of /dev/null, /dev/console, /dev/pts and /dev/fd, which the runtime and the agent trust.
# Idea: runc CVE-2025-31133, CVE-2025-52565: a mask that is bound from a link in the place of /dev/null unmasks a file.
# Outcome: /dev is not the user's to change.
import os

from attack import check, refused

before = os.listdir("/dev")
for name in ("null", "console", "pts", "ptmx", "shm", "fd", "tty"):
    path = "/dev/" + name
    refused("rename " + path, lambda: os.rename(path, "/dev/old"))
    refused("remove " + path, lambda: os.unlink(path))
    refused("a link over " + path, lambda: os.symlink("/proc/sys/kernel/core_pattern", path))
    refused("exchange " + path, lambda: os.replace("/tmp", path))
check("all are as before", os.listdir("/dev") == before)
check("and null is null", os.stat("/dev/null").st_rdev == os.makedev(1, 3))
