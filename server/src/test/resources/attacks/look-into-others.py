# Group: processes
# Tries: open memory, environment, descriptors and more of every process but one's own by /proc.
# Idea: secrets of whoever starts the job in /proc/PID/environ; /proc/1/mem to rewrite the supervisor in Python.
# Outcome: process 1 is not to be seen, and what waits to start the user's programs opens nothing.
# Sandbox: own
import os

from attack import check, processes, refused

me = os.getpid()
check("process 1 is not there", not os.path.exists("/proc/1"))
for pid in sorted(set(range(1, 200)) | set(processes())):
    if pid == me:
        continue
    for name in ("mem", "environ", "maps", "auxv", "pagemap", "syscall", "stack"):
        path = "/proc/%d/%s" % (pid, name)
        try:
            with open(path, "rb") as file:
                if file.read(16) if name != "mem" else True:
                    check(path, False, "opened")
        except OSError:
            pass
    for name in ("fd", "cwd", "root", "exe", "map_files"):
        refused("%d/%s" % (pid, name), lambda: os.listdir("/proc/%d/%s" % (pid, name)))
