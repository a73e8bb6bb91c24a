"""What a program reads and writes: pipes, terminals and files in memory, seen from its supervisor."""

import fcntl
import os
import select
import struct
import termios

from sandkeeper_processes import PR_SET_DUMPABLE, USER_ID, libc, prctl
from sandkeeper_wire import CHUNK_BYTES, wait_for

# At most what a terminal has taken from programs and nobody has read.
TERMINAL_BYTES = 128 * 1024
# Calls on the master of a terminal for which no module has names: unlock its other end, tell its number.
TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430


class Output:
    """One stream of a program, read from a pipe and numbered by its bytes."""

    def __init__(self, fd, kind):
        os.set_blocking(fd, False)
        self.fd = fd
        self.kind = kind
        self.offset = 0
        # Bytes that were in the pipe when the program ended and are still to be read.
        self.due = 0

    def read(self):
        """Returns the next bytes, empty at the end of the stream, None when there are none yet."""
        try:
            data = os.read(self.fd, CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        if not data:
            os.close(self.fd)
            self.fd = -1
        self.due -= len(data)
        return data

    def note_due(self):
        if self.fd >= 0:
            count = bytearray(4)
            fcntl.ioctl(self.fd, termios.FIONREAD, count)
            self.due = struct.unpack("=i", count)[0]

    def drained(self):
        return self.fd < 0 or self.due <= 0


class TerminalOutput(Output):
    """What programs write to a terminal, read from its master."""

    def read(self):
        # It gives at most a page at a time.
        pieces, size = [], 0
        while size < CHUNK_BYTES // 4:
            try:
                data = super().read()
            except OSError:
                # No program has it open any more, and all that they wrote was read.
                os.close(self.fd)
                self.fd = -1
                data = b""
            if not data:
                return b"".join(pieces) if pieces else data
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    def note_due(self):
        # The kernel counts only a part of it.
        self.due = TERMINAL_BYTES

    def drained(self):
        return super().drained() or not wait_for(self.fd, select.POLLIN, 0)


class Input:
    """What a program reads: what came with its request, and what is sent while it is open.

    Positions count what is sent. The engine sends no more while much of that was not passed on, which
    bounds what waits here.
    """

    def __init__(self, fd, first=b"", stays_open=False):
        self.fd = fd
        self.first = memoryview(first)
        self.rest = bytearray()
        self.state = b"open" if stays_open else b"none"
        self.taken = 0
        # The last byte that was taken.
        self.last = first[-1:]
        # Whether the engine does not know how it stands.
        self.has_news = False
        if fd >= 0:
            os.set_blocking(fd, False)
        if not stays_open:
            self.add_end()

    def add_end(self):
        """Puts an end behind all that waits."""

    def take(self, data):
        """Takes what is sent."""
        if self.state == b"open":
            self.taken += len(data)
            self.rest += data
            self.last = data[-1:]

    def end(self):
        """Takes no more: the program comes to the end behind what waits."""
        if self.state == b"open":
            self.state = b"closed"
            self.add_end()

    def resize(self, rows, columns):
        """Does nothing: it has no size."""

    def is_due(self):
        """Whether there is something to pass on, if only the end."""
        return self.fd >= 0 and bool(self.first or self.rest or self.state != b"open")

    def passed(self):
        """How much of what was sent waits here no longer."""
        return self.taken - (len(self.rest) if self.state == b"open" else 0)

    def feed(self):
        """Passes on what the program's end takes, and closes at the end."""
        before = self.state, self.passed()
        try:
            while self.first:
                self.first = self.first[os.write(self.fd, self.first[:CHUNK_BYTES]) :]
            while self.rest:
                del self.rest[: os.write(self.fd, self.rest[:CHUNK_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            # Nobody reads it any more.
            self.first, self.rest = memoryview(b""), bytearray()
            if self.state == b"open":
                self.state = b"closed"
        if not (self.first or self.rest or self.state == b"open"):
            self.reach_end()
        if before != (self.state, self.passed()):
            self.has_news = True

    def reach_end(self):
        """All was passed on, and no more comes."""
        self.close()

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class TerminalInput(Input):
    """What is typed into a terminal, at its master; that has a size behind the end of input too."""

    def is_due(self):
        return self.fd >= 0 and bool(self.first or self.rest)

    def reach_end(self):
        """Leaves the master open."""

    def add_end(self):
        """Types what means the end of input there, twice where a line has begun, which the first ends."""
        mark = termios.tcgetattr(self.fd)[6][termios.VEOF] if self.fd >= 0 else b""
        self.rest += mark if self.last in (b"", b"\r", b"\n") else mark * 2

    def resize(self, rows, columns):
        if self.fd >= 0:
            set_size(self.fd, rows, columns)


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0))


def open_terminal(rows, columns):
    """Makes a terminal of the user's; returns its master, its other end, and that one's path."""
    master = -1
    # It belongs to who opens the master.
    agent_id = os.getuid()
    libc.setfsgid(USER_ID)
    libc.setfsuid(USER_ID)
    try:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("=i", 0))
        (number,) = struct.unpack("=i", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
        path = b"/dev/pts/%d" % number
        set_size(master, rows, columns)
        return master, os.open(path, os.O_RDWR | os.O_NOCTTY), path
    except OSError:
        if master >= 0:
            os.close(master)
        raise
    finally:
        libc.setfsuid(agent_id)
        libc.setfsgid(agent_id)
        # The kernel lets others look into who changes these.
        prctl(PR_SET_DUMPABLE, 0)


def output_pipe(kind):
    """Returns an Output and the descriptor to write to it."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(reader, 1031, 4 * CHUNK_BYTES)  # F_SETPIPE_SZ, a name only since Python 3.10.
    except OSError:
        pass
    return Output(reader, kind), writer


def memory_file(name, content):
    """Returns a descriptor of an anonymous file that holds `content`, at its start."""
    fd = os.memfd_create(name)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
