# Group: files
# Tries: folders so deep that no path can name them, which the host then lists and removes.
# Idea: cleaners that recurse or build paths fall over; isolate's cleanup and CVE-2021-3997 (systemd-tmpfiles) did.
# Outcome: the host's calls end, with a result or an error, and the folders go.
# Host: removes
import os

from attack import held

os.makedirs("/home/user/target", exist_ok=True)
os.chdir("/home/user/target")
depth = 0
try:
    for depth in range(3000):
        os.mkdir("d" * 50)
        os.chdir("d" * 50)
except OSError:
    pass
held("%d levels" % depth)
