# Group: memory
# Tries: open as many files as can be, in many processes.
# Idea: open files are the kernel's memory, and the machine's number of them is one for all.
# Outcome: it ends at a number per process, and the neighbour opens files.
# Sandbox: own
# Holds: yes
import os
import time

from attack import check, hold


def fill():
    count = 0
    try:
        while count < 100000:
            os.open("/etc/hosts", os.O_RDONLY)
            count += 1
    except OSError:
        pass
    return count


counts = []
for _ in range(8):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, b"%d\n" % fill())
        # Until it is ended with the parent's execution.
        time.sleep(60)
    os.close(writer)
    counts.append(int(os.read(reader, 20) or 0))
    os.close(reader)
check("%s files" % counts, max(counts) <= 4096, counts)
hold()
