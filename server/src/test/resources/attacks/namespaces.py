# Group: kernel
# Tries: every kind of namespace, by unshare, clone, clone3 and setns.
# Idea: user namespaces open most of the kernel's privileged code: CVE-2022-0185, CVE-2022-34918, CVE-2024-1086.
# Outcome: none is made or entered.
import os
import struct

from attack import call, call_refused, check, in_child

KINDS = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}
for name, flag in KINDS.items():
    call_refused("unshare " + name, 272, flag)
    if name != "time":
        call_refused("clone " + name, 56, flag | 17)
    call_refused("clone3 " + name, 435, struct.pack("=8Q", flag, 0, 0, 0, 17, 0, 0, 0), 64)
call_refused("all at once", 272, 0x7E020000)
for name in os.listdir("/proc/self/ns"):
    fd = os.open("/proc/self/ns/" + name, os.O_RDONLY)
    call_refused("setns " + name, 308, fd, 0)
    os.close(fd)
check("unshare(1) neither", os.system("unshare -Ur true 2>/dev/null") != 0)
