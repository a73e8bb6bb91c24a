# Group: engine
# Tries: write frames of the agent's own protocol to every descriptor of the interpreter that keeps variables.
# Idea: the interpreter runs the user's code, and has a channel to its supervisor (IPython kernels, dify-sandbox's).
# Outcome: at worst the interpreter is ended and begins anew; nobody else is told anything by it.
# Sandbox: own
# Runs: as a cell
# Ends: COMPLETED, LOST, SIGNALED, DEADLINE
# Deadline: 5
import os
import stat
import struct

print("held: it begins", flush=True)


def frame(kind, payload=b"", offset=0, size=None):
    return struct.pack("!IBQ", len(payload) if size is None else size, kind, offset) + payload


forged = [frame(7, struct.pack("!I", 1) + b"0"), frame(5, b"\xff" * 64), frame(1, b"", 1 << 63), frame(14, b"x" * 5)]
forged += [frame(kind, size=0xFFFFFFFF) for kind in range(0, 60)]
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode) or stat.S_ISFIFO(os.fstat(number).st_mode):
            os.set_blocking(number, False)
            for data in forged:
                os.write(number, data)
    except OSError:
        pass
