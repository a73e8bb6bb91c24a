# Group: processes
# Tries: one process that is always another: each forks the next and ends, quicker than anybody lists and kills.
# Idea: "comets" outrun kill loops over /proc; only a freeze or a group's kill holds them.
# Outcome: ended at the deadline, or with the sandbox.
# Sandbox: own
# Deadline: 1
# Ends: DEADLINE, COMPLETED, SIGNALED
# Next: may be refused
import os

from attack import held

held("it begins")
while True:
    try:
        if os.fork():
            os._exit(0)
        os.setsid()
    except OSError:
        pass
