# Group: runc
# Tries: change what /proc says of oneself and of others: ids, limits, labels, memory scores.
# Idea: runc CVE-2025-52881 and CVE-2019-16884: writes to /proc/self/attr that ended elsewhere; oom_score_adj to outlive all.
# Outcome: maps are set once, the score does not sink, and others' files are closed.
import os

from attack import check, processes, refused


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, text)
    finally:
        os.close(fd)


for name, text in (
    ("uid_map", b"0 0 1"),
    ("gid_map", b"0 0 1"),
    ("setgroups", b"allow"),
    ("oom_score_adj", b"-1000"),
    ("oom_adj", b"-17"),
    ("attr/exec", b"unconfined"),
    ("attr/current", b"unconfined"),
    ("projid_map", b"0 0 1"),
):
    refused(name, lambda: write("/proc/self/" + name, text))
for pid in [1] + [pid for pid in processes() if pid != os.getpid()]:
    refused("the score of %d" % pid, lambda: write("/proc/%d/oom_score_adj" % pid, b"-1000"))
with open("/proc/self/oom_score_adj") as score:
    check("the kernel would take this one first", score.read().strip() == "1000")
