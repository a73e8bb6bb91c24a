# Group: memory
# Tries: keep memory of the kernel in pipes, each as large as it can be made.
# Idea: pipe buffers are the kernel's; before they were counted a user took down machines so (CVE-2016-2847).
# Outcome: bounded by the number of open files, by what a user may have in pipes, and by the sandbox's memory.
# Sandbox: own
# Holds: yes
# Ends: COMPLETED, OUT_OF_MEMORY, SIGNALED
import fcntl
import os

from attack import check, hold

total, kept = 0, []
try:
    while total < 1 << 30:
        reader, writer = os.pipe()
        kept.append((reader, writer))
        os.set_blocking(writer, False)
        try:
            fcntl.fcntl(writer, 1031, 1 << 20)
        except OSError:
            pass
        try:
            while True:
                total += os.write(writer, bytes(1 << 16))
        except BlockingIOError:
            pass
except OSError:
    pass
check("%d bytes in %d pipes" % (total, len(kept)), total < 256 << 20)
hold()
