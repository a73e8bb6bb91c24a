# Group: memory
# Tries: open all terminals that the kernel has.
# Idea: their number is one for the machine: nobody else, nor the administrator, would get one.
# Outcome: the sandbox has a number of its own.
# Sandbox: own
# Holds: yes
import os

from attack import check, hold

count = 0
try:
    while count < 4000:
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        count += 1
except OSError:
    pass
check("%d terminals" % count, count < 300, count)
hold()
