# Group: engine
# Tries: flood the server with output, in large pieces and in single bytes, on both streams.
# Idea: unbounded output filled the disks of judges; runaway logs.
# Outcome: all of it arrives, in order, and the neighbour is served meanwhile.
import os

from attack import held

chunk = b"x" * 65535 + b"\n"
for _ in range(256):
    os.write(1, chunk)
for _ in range(20000):
    os.write(2, b".")
held("16 MiB")
