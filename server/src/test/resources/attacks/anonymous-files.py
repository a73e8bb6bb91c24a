# Group: memory
# Tries: keep memory in files without a name, that belong to no process and lie on no disk.
# Idea: memfd and deleted files escape what adds up processes or folders.
# Outcome: they count as the sandbox's memory.
# Sandbox: own
# Ends: OUT_OF_MEMORY, COMPLETED, SIGNALED
import os

from attack import held

held("it begins")
files = []
while True:
    files.append(os.memfd_create("x"))
    for _ in range(16):
        os.write(files[-1], bytes(1 << 20))
