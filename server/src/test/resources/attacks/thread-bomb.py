# Group: processes
# Tries: take every thread there can be.
# Idea: limits that count processes forget threads, which take the kernel's numbers too.
# Outcome: it ends at the number of the sandbox.
# Sandbox: own
# Holds: yes
import threading
import time

from attack import check, hold

stop = threading.Event()
threading.stack_size(64 * 1024)
count = 0
try:
    for count in range(5000):
        threading.Thread(target=stop.wait, daemon=True).start()
except RuntimeError:
    pass
hold()
stop.set()
check("%d threads" % count, count < 100, count)
