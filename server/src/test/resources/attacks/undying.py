# Group: processes
# Tries: two families that start each other anew whenever one is ended, deaf to all signals but one.
# Idea: mutual watchdogs, as malware has them against clean-up.
# Outcome: the deadline ends both.
# Deadline: 1
# Ends: DEADLINE
import os
import signal
import time

from attack import held

held("it begins")
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def guard(other):
    while True:
        try:
            os.kill(other, 0)
        except OSError:
            other = os.fork()
            if other == 0:
                os.setsid()
                other = os.getppid()
        time.sleep(0.001)


child = os.fork()
guard(child or os.getppid())
