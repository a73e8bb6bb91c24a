# Group: processes
# Tries: leave hundreds of dead children, one's own and orphans, that nobody waits for.
# Idea: containers whose process 1 does not reap fill up (the "PID 1 problem").
# Outcome: orphans are reaped; one's own count against one's own number.
import os

from attack import check


def leave_orphans():
    try:
        for _ in range(3):
            if os.fork() == 0:
                os._exit(0)
    except OSError:
        pass
    os._exit(0)


def collect(options):
    try:
        while os.waitpid(-1, options)[0]:
            pass
    except ChildProcessError:
        pass


for _ in range(300):
    try:
        if os.fork() == 0:
            leave_orphans()
    except OSError:
        collect(0)
collect(0)
check("a process still starts", os.system("true") == 0)
