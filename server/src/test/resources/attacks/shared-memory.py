# Group: memory
# Tries: fill /dev/shm, /tmp, the home and System V segments, all together, and leave them.
# Idea: a tmpfs that nothing counts is the host's memory; segments stay when their process is gone.
# Outcome: each ends at a limit, and all count as the sandbox's memory.
# Sandbox: own
# Ends: OUT_OF_MEMORY, COMPLETED, SIGNALED
import os

from attack import call, held

held("it begins")
for folder in ("/dev/shm", "/tmp", "/home/user", "/var/tmp"):
    try:
        with open(folder + "/full", "wb", buffering=0) as file:
            for _ in range(256):
                file.write(bytes(1 << 20))
        held("%s takes 256 MiB" % folder)
    except OSError as error:
        held("%s: %d" % (folder, error.errno))
        os.unlink(folder + "/full")
for _ in range(64):
    call(29, 0, 16 << 20, 0o1600)
