# Group: files
# Tries: make nodes of the machine's disks and memory, and open those that might lie about.
# Idea: docker's default rights once had mknod; Judge0 (CVE-2024-28185) ended in writing to the host's disk.
# Outcome: nodes cannot be made, and /dev has the harmless ones only.
import os
import stat

from attack import check, refused

for what, kind, major, minor in (
    ("memory", stat.S_IFCHR, 1, 1),
    ("the first disk", stat.S_IFBLK, 254, 0),
    ("a SCSI disk", stat.S_IFBLK, 8, 0),
    ("a loop device", stat.S_IFBLK, 7, 0),
    ("kmsg", stat.S_IFCHR, 1, 11),
    ("a white-out", stat.S_IFCHR, 0, 0x501),
):
    refused(what, lambda: os.mknod("/tmp/node", kind | 0o666, os.makedev(major, minor)))
harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
harmless |= {"fd", "stdin", "stdout", "stderr", "core", "pts", "shm", "mqueue"}
check("nothing else in /dev", set(os.listdir("/dev")) <= harmless, os.listdir("/dev"))
for name in "mem kmem port kmsg kvm fuse net/tun vhost-vsock vhost-net vsock loop-control userfaultfd sda vda".split():
    refused("/dev/" + name, lambda: os.open("/dev/" + name, os.O_RDONLY))
refused("a node in /dev", lambda: os.open("/dev/new", os.O_CREAT | os.O_WRONLY))
