"""Is in the agent's place, with its id, its rights, its filter of system calls and its socket.

The file `manner` beside it says what it does: `run NAME` runs one of the attacks, whose output goes to the
launch log, and another word lies in that manner: it dials for whatever the engine asks for, and sends there
what no agent does.
"""

import itertools
import json
import os
import socket
import struct
import subprocess
import threading
import time

HEADER = struct.Struct("!IBQ")
HELLO, STARTED, STDOUT, STDERR, RESULT, ERROR, FINISHED = 1, 2, 3, 4, 5, 6, 7
DATA, DONE, FAULT, ENTRY, REFUSED, GOODBYE, CHANGE = 8, 9, 10, 11, 12, 13, 14
OPEN = 32
PLACE = "/opt/sandkeeper"
with open(PLACE + "/protocol", "rb") as version:
    PROTOCOL = version.read()


def pack(*fields):
    return b"".join(struct.pack("!I", len(field)) + field for field in fields)


def frame(kind, payload=b"", offset=0):
    return HEADER.pack(len(payload), kind, offset) + payload


def dial(*fields):
    one = socket.socket(socket.AF_UNIX)
    one.connect("/run/sandkeeper/engine.sock")
    one.sendall(frame(HELLO, pack(*fields)))
    return one


def whole(one, size):
    data = b""
    while len(data) < size:
        more = one.recv(size - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def read(one):
    size, kind, offset = HEADER.unpack(whole(one, HEADER.size))
    return kind, offset, whole(one, size)


def fields(payload):
    found = []
    while payload:
        (size,) = struct.unpack_from("!I", payload)
        found.append(payload[4 : 4 + size])
        payload = payload[4 + size :]
    return found


def sizes(is_file):
    """Sizes that are none, or too much to be believed."""
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, (1 << 20) + 1):
        yield HEADER.pack(size, DATA if is_file else STDOUT, 0)


def cut(is_file):
    yield frame(DATA if is_file else STDOUT, b"x" * 1000)[:500]


def order(is_file):
    """Ends before beginnings, twice, and output from elsewhere."""
    end = pack(b"completed", b"0", b"", b"0", b"0")
    if is_file:
        yield frame(CHANGE, pack(b"CREATED", b"x", b"")) + frame(DONE)
    else:
        yield frame(STDOUT, b"late", 1 << 40) + frame(FINISHED, end) + frame(STARTED) + frame(FINISHED, end)


def junk(is_file):
    """Frames of every kind with fields that lie about their size, and numbers that are none."""
    for kind in range(256):
        yield frame(kind, struct.pack("!I", 0x7FFFFFFF) + b"x" * 60, (1 << 64) - 1)


def words(is_file):
    """The right kinds, with words in them that nobody knows."""
    odd = [b"", b"-1", b"9" * 40, b"\xff\xfe", b"../../etc", b"NaN", b"\0"]
    kinds = (DONE, FAULT, ENTRY, CHANGE) if is_file else (FINISHED, RESULT, ERROR, STARTED)
    for kind, word, count in itertools.product(kinds, odd, range(0, 8)):
        yield frame(kind, pack(*[word] * count))


def endless(is_file):
    """More than anybody asked for."""
    piece, offset = b"x" * 60000, 0
    while True:
        yield frame(DATA, piece) if is_file else frame(STDOUT, piece, offset)
        offset += len(piece)


def entries(is_file):
    """Names without an end; for a program errors, results and starts."""
    entry = pack(b"name", b"/home/user/name", b"FILE", b"1", b"420", b"0")
    error = pack(b"E", b"x" * 1000, b"y" * 10000)
    while True:
        yield frame(ENTRY, entry) if is_file else frame(ERROR, error) + frame(RESULT, pack(b"a/b", b"x" * 10000))


MANNERS = (sizes, cut, order, junk, words, endless, entries)


def serve(name, target, manner):
    """One connection for each lie that ends one; the engine expects a name once only."""
    with dial(PROTOCOL, b"run", name) as one:
        read(one)
        try:
            for data in manner(target == b"file"):
                one.sendall(data)
        except OSError:
            pass


def storm():
    """What the engine's socket gets besides: callers that say nothing, nonsense, other names, too much."""
    silent = []
    for _ in range(300):
        try:
            one = socket.socket(socket.AF_UNIX)
            one.connect("/run/sandkeeper/engine.sock")
            silent.append(one)
        except OSError:
            break
    for one in silent:
        one.close()
    for hello in (
        (b"2", b"control", b""),
        (PROTOCOL, b"nothing", b""),
        (PROTOCOL, b"run", b"file-1"),
        (PROTOCOL, b"resume", b"x" * 1000),
        (PROTOCOL, b"run", b"../../other"),
        (PROTOCOL,),
        (PROTOCOL, b"run", b"\xff" * 100),
    ):
        for _ in range(20):
            try:
                dial(*hello)
            except OSError:
                pass
    # Held open: more supervisors that wait for a command than there is work.
    return [dial(PROTOCOL, b"ready", b"command") for _ in range(50)]


def run(name):
    """Runs an attack with all that the agent has; says at last how it exited."""
    with open(PLACE + "/hints") as hints:
        environment = dict(os.environ, **json.load(hints))
    program = ["/usr/bin/python3", "-B", "%s/%s.py" % (PLACE, name)]
    code = subprocess.run(program, env=environment, stderr=subprocess.STDOUT).returncode
    print("exit %d" % code, flush=True)


def dial_control():
    """The engine may be busy with the storm still, and takes no more callers then."""
    while True:
        try:
            control = dial(PROTOCOL, b"control", b"")
            # It begins by what every execution is to have.
            read(control)
            return control
        except OSError:
            time.sleep(0.01)


def main():
    with open(PLACE + "/manner") as file:
        word, *names = file.read().split()
    lie = {one.__name__: one for one in MANNERS}.get(word)
    kept = storm() if lie else []
    for one in kept:
        one.close()
    control = dial_control()
    for name in names:
        threading.Thread(target=run, args=(name,), daemon=True).start()
    if lie:
        control.sendall(frame(REFUSED, pack(b"of nobody", b"why")) * 100)
    while True:
        kind, _, payload = read(control)
        if kind == OPEN and lie:
            name, target = fields(payload)
            if name:
                threading.Thread(target=serve, args=(name, target, lie), daemon=True).start()


main()
