# Group: processes
# Tries: have oneself traced by the supervisor, and stop at every turn, so that it waits for ever or takes a stop for an end.
# Idea: judges that wait4 without looking at the status took a stop for an exit (isolate's early waits).
# Outcome: it holds up itself only; at the deadline it is ended with all it left.
# Sandbox: own
# Deadline: 2
# Ends: COMPLETED, DEADLINE
import os
import signal
import sys

from attack import call, held

held("traced: %d" % call(101, 0, 0, 0, 0))
sys.stdout.flush()
for number in (signal.SIGTRAP, signal.SIGSTOP, signal.SIGCHLD):
    if os.fork() == 0:
        # An orphan, whose parent is the supervisor then.
        if os.fork() == 0:
            call(101, 0, 0, 0, 0)
            os.kill(os.getpid(), number)
        os._exit(0)
os._exit(7)
