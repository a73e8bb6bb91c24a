# Group: files
# Tries: mount control groups and name a release agent, or write to groups that are there.
# Idea: CVE-2022-0492 and its forerunners: the host runs the release agent of a group as root.
# Outcome: no groups are mounted, none can be, and nothing is there to write to.
import glob
import os

from attack import call_refused, check

found = glob.glob("/sys/fs/cgroup*") + glob.glob("/**/release_agent") + glob.glob("/sys/*")
check("no control groups are to be seen", not found, found)
with open("/proc/self/mounts") as mounts:
    kinds = {line.split()[2] for line in mounts}
    check("none is mounted", not kinds & {"cgroup", "cgroup2"}, kinds)
os.makedirs("/tmp/groups", exist_ok=True)
for kind, options in ((b"cgroup", b"rdma"), (b"cgroup", b"memory"), (b"cgroup2", b"")):
    call_refused("mount " + kind.decode(), 165, b"none", b"/tmp/groups", kind, 0, options)
call_refused("a namespace of groups", 272, 0x02000000)
