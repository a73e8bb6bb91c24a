# Group: races
# Tries: have the host write through a link that is put there in the moment between its check and its use.
# Idea: Judge0 CVE-2024-28185 and CVE-2024-28189, docker cp CVE-2018-15664: root on the host followed links of the job.
# Outcome: the host's writes end in the file or fail; nothing else changes, outside or in the agent's places.
# Host: writes
import os
import time

from attack import check, host

TARGETS = (host("FILE"), "/etc/passwd", "/run/sandkeeper/paid-until", "/opt/sandkeeper/agent.pyc", "/proc/self/mem")
before = [os.stat(path).st_mtime_ns for path in ("/etc/passwd", "/opt/sandkeeper")]
end = time.monotonic() + 0.7
while time.monotonic() < end:
    for target in TARGETS:
        try:
            os.symlink(target, "/home/user/link")
            os.replace("/home/user/link", "/home/user/target")
            os.unlink("/home/user/target")
        except OSError:
            pass
after = [os.stat(path).st_mtime_ns for path in ("/etc/passwd", "/opt/sandkeeper")]
check("the agent's files are as before", before == after)
