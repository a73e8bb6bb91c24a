# Group: runc
# Tries: find a descriptor that the runtime, the agent or the server left open, and climb out of it.
# Idea: runc CVE-2024-21626 ("Leaky Vessels") and CVE-2016-9962: a folder of the host stayed open.
# Outcome: nothing but standard streams is open, and no descriptor leads out.
import os

from attack import check, host, refused

for name in sorted(os.listdir("/proc/self/fd"), key=int):
    path = "/proc/self/fd/" + name
    if not os.path.lexists(path):
        continue
    target = os.readlink(path)
    check("%s is %s" % (path, target), int(name) < 3 or target.startswith("/proc/"), target)
for number in range(64):
    refused("out of %d" % number, lambda: os.open("../../../../.." + host("FILE"), os.O_RDONLY, dir_fd=number))
    refused("across %d" % number, lambda: os.stat("/proc/self/fd/%d/../../.." % number + host("FILE")))
