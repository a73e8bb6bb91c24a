"""The guest agent: process 1 of a sandbox.

It dials the engine's socket, starts what the engine asks for, and ends the sandbox by itself when
its paid time passes unrenewed. It runs under a user id of its own, with the rights to become
another user and to signal, and nothing else; what it starts runs as the sandbox's user, without any
right. Standard library only, Python 3.9 or newer, run as `python3 -I -S agent.py PAID_MILLIS
MAX_PROCESSES MEMORY_MIB IMPORTS PROXY_PORT KERNEL NODE TYPESCRIPT JAVA R`: IMPORTS are the modules to load ahead
for Python contexts, with commas between them; PROXY_PORT is where programs find the way out of the sandbox, and
KERNEL what it runs on, `linux` or `gvisor`; that port and interpreters are empty when there is none.

Every connection carries frames: payload length (4 bytes), type (1), offset (8), payload, numbers in
network order. One connection is for control; each execution and each file transfer has one to
itself, so that the kernel's socket buffers are the back-pressure and a slow reader holds up nobody
else. A supervisor keeps its connection for the executions that follow. An execution outlives its
connection: what the engine has not acknowledged is kept, and sent again over the next one.

Processes: the agent forks supervisors of commands, each the reaper of all that its command leaves
behind, which fork a launcher that starts the programs; a supervisor per language whose variables live
on, which forks the interpreter; and a worker per file transfer, which gives up the agent's rights
before it touches a path. In a sandbox with a network policy a forwarder carries what comes to the proxy's port to
the engine, which decides. Once a Python context is created there is a zygote as well, which forks the
supervisors of those that follow; once a port is asked for, a relay of the connections to ports.
"""

# The C modules behind `socket` and `signal`: the wrappers cost 12 ms of start-up, more than the rest.
import _signal as signal
import _socket as socket
import _thread
import errno
import gc
import os
import select
import struct
import sys
import time

SOCKET_PATH = "/run/sandkeeper/engine.sock"
# Milliseconds of the monotonic clock, kept up to date by the engine also while the agent is frozen.
PAID_UNTIL_PATH = "/run/sandkeeper/paid-until"
# Where the engine takes connections to hosts, in a sandbox that may have any.
EGRESS_PATH = "/run/sandkeeper/egress.sock"
# The folder of what is loaded beside the agent.
PROGRAMS = "/opt/sandkeeper"
# What keeps the variables of JavaScript and TypeScript code.
NODE_PROGRAM = "/opt/sandkeeper/context.js"
# What keeps the variables of Java code.
JAVA_PROGRAM = "/opt/sandkeeper/JavaContext.java"
# What keeps the variables of R code.
R_PROGRAM = "/opt/sandkeeper/context.R"
# The descriptor that such programs are spoken to over.
PROGRAM_CHANNEL = 3
# Where a shell finds the standard error of its commands.
BASH_ERRORS = 3
PROTOCOL = b"3"

USER_ID = 1000
DEFAULT_PATH = b"/bin:/usr/bin"
HOME = "/home/user"

HEADER = struct.Struct("!IBQ")
FIELD = struct.Struct("!I")

# From the agent.
HELLO, STARTED, STDOUT, STDERR, RESULT, ERROR, FINISHED = 1, 2, 3, 4, 5, 6, 7
DATA, DONE, FAULT, ENTRY, REFUSED, GOODBYE, CHANGE = 8, 9, 10, 11, 12, 13, 14
INPUT_STATE = 20
# From the engine.
OPEN, RENEW, STOP, SETUP, REQUEST, SIGNAL, CHUNK, COMMIT = 32, 33, 34, 35, 36, 37, 38, 39
ACKNOWLEDGE, RESUME, FORGET, DROP = 40, 41, 42, 43
INTERRUPT, RESTART, DELETE = 44, 45, 46
INPUT, CLOSE_INPUT, RESIZE = 50, 51, 52

CHUNK_BYTES = 256 * 1024
# More than any source or stdin the engine lets through.
MAX_FRAME_BYTES = 96 * 1024 * 1024
# Linux takes at most 128 KiB for one argument.
MAX_ARGUMENT_BYTES = 96 * 1024
# An execution with as much unacknowledged reads no more of its program's output.
MAX_KEPT_BYTES = 1024 * 1024
# What a kept frame takes beside its payload, about.
KEPT_FRAME_BYTES = 256
MAX_RESULT_BYTES = 1024 * 1024
# An interpreter that tells more of one cell, by results and errors together, is ended.
MAX_REPLIED_BYTES = 16 * 1024 * 1024
# A character becomes six bytes at most.
MAX_RESULT_CHARS = 128 * 1024
MAX_TRACEBACK_CHARS = 32 * 1024
MAX_ERROR_CHARS = 8 * 1024
# How often the forwarder of connections to hosts may end before there is none.
MAX_FORWARDERS = 20
# What a shell returns for a program that is not there.
NOT_FOUND_CODE = 127
# As many supervisors wait for a command at most; the engine sees to that.
IDLE_LAUNCHERS = 2
# How often a command's launcher may be killed before it has started the command.
MAX_LAUNCHES = 3
# A supervisor with a larger request behind it is not kept: nor is what that left of its memory.
KEPT_REQUEST_BYTES = 256 * 1024
# Executions, transfers and commands' leftover daemons that each need a process of the agent's.
MAX_CHILDREN = 96
# What one of them takes on gVisor, which ends with all of the sandbox when memory runs out.
GVISOR_CHILD_MIB = 16

# At most what a terminal has taken from programs and nobody has read.
TERMINAL_BYTES = 128 * 1024
# Calls on the master of a terminal for which no module has names: unlock its other end, tell its number.
TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430

# How long output is awaited once a command has exited but something still holds its pipes.
DRAIN_SECONDS = 0.05
# How long a cell may take to obey an interrupt when nobody wants its outcome, before it is killed.
INTERRUPT_SECONDS = 2.0
INTERRUPT_AGAIN_MILLIS = 100
# How often, and after how long each time, a shell that did not obey is interrupted or asked again.
MAX_INTERRUPT_REPEATS = 20
INTERRUPT_REPEAT_SECONDS = 0.5
REDIAL_FIRST_SECONDS = 0.02
REDIAL_MOST_SECONDS = 0.5
REQUEST_SECONDS = 30.0
# The longest pause in an upload; a broken one is given up after.
TRANSFER_SECONDS = 120.0
LOG_BYTES = 64 * 1024
RLIMITS = 16
# By these signals the supervisor of a context hears at once what process 1 is told.
INTERRUPTED, RESTARTED = signal.SIGUSR1, signal.SIGUSR2
# On x86_64, and elsewhere.
SYS_WAITID = 247 if os.uname().machine == "x86_64" else 95
# More than the agent ever opens.
MAX_DESCRIPTORS = 4096

# By Python, and those that are often sent to all that there is, but meant for programs.
IGNORED_BY_LAUNCHERS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
)

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 4, 36, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
CAPABILITIES = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID


class Gone(Exception):
    """The engine closed the connection."""


class Settings:
    """What every process of the agent is told of the sandbox."""

    def __init__(self, max_processes, memory_mib, imports, proxy_port, kernel, node, typescript, java, r):
        self.max_processes = max_processes
        self.memory_mib = memory_mib
        # The modules to load ahead for Python contexts.
        self.imports = imports
        # Empty in a sandbox that may not connect to anything.
        self.proxy_port = proxy_port
        # Whether this kernel lacks a part of what Linux has. It keeps the sandbox from the host all the same.
        self.on_gvisor = kernel == "gvisor"
        self.max_children = min(MAX_CHILDREN, memory_mib // GVISOR_CHILD_MIB) if self.on_gvisor else MAX_CHILDREN
        # How much memory this process has of the zygote's modules.
        self.preloaded_bytes = 0
        self.node = node
        # The file of the module; empty when Node.js does it alone.
        self.typescript = typescript
        self.java = java
        self.r = r
        # Variables of every execution; the engine sends them before the first.
        self.environment = {}


def log(message):
    """Writes to the launch log while it is small; the engine reads it when a start fails."""
    try:
        if os.fstat(2).st_size < LOG_BYTES:
            os.write(2, ("agent: %s\n" % message).encode("utf-8", "replace")[:4096])
    except OSError:
        pass


# --- Frames ----------------------------------------------------------------------------------


def pack(*fields):
    """Joins byte strings, each after its length."""
    return b"".join(FIELD.pack(len(field)) + field for field in fields)


def unpack(payload):
    """Undoes `pack`."""
    view, fields = memoryview(payload), []
    while view:
        (size,) = FIELD.unpack_from(view)
        fields.append(bytes(view[4 : 4 + size]))
        view = view[4 + size :]
    return fields


def named(payload):
    """Reads fields as names and values in turn; a name may come more than once."""
    fields, values = unpack(payload), {}
    for name, value in zip(fields[::2], fields[1::2]):
        values.setdefault(name.decode(), []).append(value)
    return values


def repack(values):
    """Undoes `named`."""
    return b"".join(pack(name.encode(), value) for name in values for value in values[name])


def frame(kind, offset=0, payload=b""):
    return HEADER.pack(len(payload), kind, offset) + payload


def unsent(views, sent):
    """Returns what is left of a list of views once so many bytes of it were sent."""
    for index, view in enumerate(views):
        if sent < len(view):
            return [view[sent:]] + views[index + 1 :]
        sent -= len(view)
    return []


class Channel:
    """A connection that never blocks the process it belongs to.

    Its other end is gone for it once that sends a frame of more than `most` bytes.
    """

    def __init__(self, sock, most=MAX_FRAME_BYTES):
        sock.setblocking(False)
        self.sock = sock
        self.most = most
        self.outgoing = []
        self.incoming = bytearray()
        self.frames = []

    def fileno(self):
        return self.sock.fileno()

    def send(self, kind, offset=0, payload=b""):
        """Queues a frame. Callers add no more while something is queued, which bounds the queue."""
        self.send_bytes([HEADER.pack(len(payload), kind, offset), payload])

    def send_bytes(self, parts):
        """Queues bytes as they are, as `send` does a frame."""
        self.outgoing += [memoryview(part) for part in parts if part]
        self.flush()

    def flush(self):
        """Sends what the socket takes now."""
        while self.outgoing:
            try:
                sent = self.sock.sendmsg(self.outgoing)
            except BlockingIOError:
                return
            except InterruptedError:
                continue
            except OSError as error:
                raise Gone from error
            self.outgoing = unsent(self.outgoing, sent)

    def receive(self):
        """Returns the frames that are complete by now, reading once."""
        self.read_once()
        frames, self.frames = self.frames, []
        return frames

    def read_once(self):
        try:
            data = self.sock.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.incoming += data
        while len(self.incoming) >= HEADER.size:
            size, kind, offset = HEADER.unpack_from(self.incoming)
            if size > self.most:
                raise Gone
            if len(self.incoming) < HEADER.size + size:
                break
            payload = bytes(self.incoming[HEADER.size : HEADER.size + size])
            del self.incoming[: HEADER.size + size]
            self.frames.append((kind, offset, payload))

    def drain(self):
        """Returns what has come of a connection that is lost."""
        try:
            while wait_for(self.fileno(), select.POLLIN, 0):
                self.read_once()
        except Gone:
            pass
        return self.frames

    def await_frame(self, seconds):
        """Returns the next frame; for the parts of a conversation where nothing else happens."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.frames:
            if not wait_for(self.fileno(), select.POLLIN, deadline):
                raise Gone
            self.read_once()
        return self.frames.pop(0)

    def poll_request(self):
        """Reads once at most; returns the payload of the next request if it is there whole.

        What came before it is left of an execution that is over, such as a signal.
        """
        if not self.frames:
            self.read_once()
        while self.frames:
            kind, _, payload = self.frames.pop(0)
            if kind == REQUEST:
                return payload
        return None

    def await_request(self, seconds):
        """Returns the payload of the next request."""
        while True:
            kind, _, payload = self.await_frame(seconds)
            if kind == REQUEST:
                return payload

    def close(self):
        self.sock.close()


def wait_for(fd, events, deadline):
    """Waits for one descriptor; false when the monotonic deadline passed first."""
    poller = select.poll()
    poller.register(fd, events)
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    return bool(poller.poll(None if seconds is None else seconds * 1000))


def dial(role, name=b""):
    """Connects and says who calls."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(SOCKET_PATH)
    except OSError:
        sock.close()
        raise
    channel = Channel(sock)
    channel.send(HELLO, 0, pack(PROTOCOL, role, name))
    return channel


# --- Processes -------------------------------------------------------------------------------


def prepare(settings):
    """Loads what is not needed to say HELLO, and gives up what must not reach a child."""
    global ctypes, fcntl, libc, resource, termios
    import ctypes
    import fcntl
    import resource
    import termios

    # A collection in a forked child would copy every page it looks at.
    gc.disable()
    libc = ctypes.CDLL(None, use_errno=True)
    prctl(PR_SET_DUMPABLE, 0)
    # Without ambient and inheritable rights every exec from here on ends with none. gVisor has no ambient ones.
    if not settings.on_gvisor:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    set_capabilities(CAPABILITIES, CAPABILITIES, 0)


def prctl(option, value=0):
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become_reaper(settings):
    """Makes this process the parent of what its descendants leave behind. On gVisor that stays process 1."""
    if not settings.on_gvisor:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_capabilities(effective, permitted, inheritable):
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if libc.capset(header, struct.pack("=6I", effective, permitted, inheritable, 0, 0, 0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become_user(settings):
    """Turns this process into one of the sandbox's user, for good, but for its capabilities.

    It executes a program next, which has none, or drops them: changing between two ordinary user
    ids keeps them. Little is used here, because a forked process pays for every page it touches.
    """
    os.setsid()
    # The kernel is to take user processes first when memory runs out. The files of a process that
    # may not be dumped belong to root, also its own.
    prctl(PR_SET_DUMPABLE, 1)
    score_fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(score_fd, b"1000")
    os.close(score_fd)
    # The launchers count too. With one command at work there are two of them: its own and the next's.
    most = settings.max_processes + IDLE_LAUNCHERS
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    os.setgroups([])
    os.setresgid(USER_ID, USER_ID, USER_ID)
    os.setresuid(USER_ID, USER_ID, USER_ID)
    os.umask(0o022)


def drop_capabilities():
    set_capabilities(0, 0, 0)


def become_closed_user(settings):
    """Turns this process into one of the user's into which the user's other processes cannot look."""
    become_user(settings)
    # First: as long as it has capabilities, none without them may trace it either.
    prctl(PR_SET_DUMPABLE, 0)
    drop_capabilities()


class Wakeup:
    """Makes the end of a child readable; each process that waits for children has its own."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        # The orders may come before whom they are for has begun to look for them.
        for number in (signal.SIGCHLD, INTERRUPTED, RESTARTED):
            signal.signal(number, lambda number, frame: None)

    def clear(self):
        """Returns the numbers of the signals that came since."""
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""


def reap():
    """Yields (pid, status, usage) of every child that has ended."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        # A program may have itself traced by its parent, which is then told of every stop.
        if not os.WIFSTOPPED(status):
            yield pid, status, usage


def micros(usage):
    return int((usage.ru_utime + usage.ru_stime) * 1e6)


def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def children():
    """Returns the process ids of this process's children."""
    try:
        fd = os.open("/proc/self/task/%d/children" % os.getpid(), os.O_RDONLY)
    except FileNotFoundError:
        # A kernel without that file.
        return set(children_by_parent().get(os.getpid(), ()))
    try:
        return {int(pid) for pid in read_whole(fd).split()}
    finally:
        os.close(fd)


def keep_only(*kept):
    """Closes every descriptor but the standard ones and those named."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, MAX_DESCRIPTORS)


def children_by_parent():
    """Returns all process ids by their parents', by one pass over /proc."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb", buffering=0) as stat:
                parent = int(stat.read(1024).rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(name))
    return children


def descendants(root):
    """Returns the process ids below a process, parents first."""
    children = children_by_parent()
    found = [root]
    for pid in found:
        found.extend(child for child in children.pop(pid, ()) if child not in found)
    return found[1:]


def send_signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def signal_tree(number, spared=None):
    """Signals all that this process has started, directly or not, but for the one spared."""
    root = os.getpid()
    if number == signal.SIGKILL:
        # What is stopped cannot fork, so a fork bomb holds still before it is killed.
        stopped = set()
        while True:
            running = [pid for pid in descendants(root) if pid not in stopped and pid != spared]
            if not running:
                break
            send_signal(running, signal.SIGSTOP)
            stopped.update(running)
    send_signal([pid for pid in descendants(root) if pid != spared], number)


def fork_child(body):
    """Runs `body` in a child of the agent's; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        body()
        code = 0
    except Gone:
        pass
    except BaseException as error:
        log("%s: %s" % (type(error).__name__, error))
    finally:
        os._exit(code)


# --- Executions ------------------------------------------------------------------------------


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


class Conversation:
    """What an execution and the engine tell each other; it outlives its connection.

    Frames count from the execution's first one. Each is kept until the engine has acknowledged it. When
    the connection is lost another is dialled until the engine says from which frame on to send again,
    or that it knows nothing of the execution any more.
    """

    def __init__(self, channel, name):
        self.channel = channel
        self.name = name
        # Where what is sent for the program to read goes.
        self.input = Input(-1)
        self.kept = []
        self.kept_bytes = 0
        # How many were acknowledged, and so are no longer kept.
        self.acknowledged = 0
        # Over a new connection nothing is sent until the engine has said from where on.
        self.agreed = True
        self.redial_at = float("inf")
        self.redial_after = REDIAL_FIRST_SECONDS

    def fileno(self):
        return -1 if self.channel is None else self.channel.fileno()

    def is_blocked(self):
        return self.channel is not None and bool(self.channel.outgoing)

    def events(self):
        return select.POLLIN | (select.POLLOUT if self.is_blocked() else 0)

    def is_full(self):
        """Whether nothing is to be added that can wait."""
        return self.is_blocked() or self.kept_bytes >= MAX_KEPT_BYTES

    def send(self, kind, offset=0, payload=b""):
        self.kept.append((kind, offset, payload))
        self.kept_bytes += len(payload) + KEPT_FRAME_BYTES
        if self.channel is not None and self.agreed:
            self.guarded(lambda: self.channel.send(kind, offset, payload))

    def serve(self, events):
        """Does what the connection is ready for; returns the signals that came."""
        if events & select.POLLOUT:
            self.guarded(self.channel.flush)
        if events & ~select.POLLOUT and self.channel is not None:
            self.guarded(self.channel.read_once)
        return self.take()

    def take(self):
        """Obeys what was read; returns the signals. The next request and what is behind it stay."""
        signals = []
        while self.channel is not None and self.channel.frames:
            kind, offset, payload = self.channel.frames[0]
            if kind == REQUEST:
                break
            del self.channel.frames[0]
            if kind == SIGNAL:
                signals.append(offset)
            elif kind in (INPUT, CLOSE_INPUT, RESIZE):
                self.take_input(kind, offset, payload)
            elif kind == ACKNOWLEDGE:
                self.drop(offset)
            elif kind == RESUME:
                self.drop(offset)
                self.agreed = True
                self.input.has_news = True
                self.redial_after = REDIAL_FIRST_SECONDS
                for again in self.kept:
                    if self.channel is not None:
                        self.guarded(lambda: self.channel.send(*again))
            elif kind == FORGET:
                raise Gone
        return signals

    def take_input(self, kind, offset, payload):
        if kind == INPUT:
            self.input.take(payload)
        elif kind == CLOSE_INPUT:
            self.input.end()
        else:
            self.input.resize(offset >> 16, offset & 0xFFFF)

    def tell_input(self):
        """Tells how the input stands; again over a next connection, so it is not kept."""
        if self.input.has_news and self.channel is not None and self.agreed and not self.is_blocked():
            self.input.has_news = False
            is_terminal = b"terminal" if isinstance(self.input, TerminalInput) else b"pipe"
            fields = pack(self.input.state, b"%d" % self.input.taken, is_terminal)
            self.guarded(lambda: self.channel.send(INPUT_STATE, self.input.passed(), fields))

    def drop(self, acknowledged):
        count = acknowledged - self.acknowledged
        if not 0 <= count <= len(self.kept):
            # It speaks of another execution: what it lacks is not here any more.
            raise Gone
        self.kept_bytes -= sum(
            len(payload) + KEPT_FRAME_BYTES for _, _, payload in self.kept[:count]
        )
        del self.kept[:count]
        self.acknowledged = acknowledged

    def guarded(self, work):
        try:
            work()
        except Gone:
            self.lose()

    def lose(self):
        left = () if self.channel is None else self.channel.drain()
        self.close()
        for kind, offset, payload in left:
            # The engine has said that the program will have it.
            if kind in (INPUT, CLOSE_INPUT, RESIZE):
                self.take_input(kind, offset, payload)
        self.redial_at = time.monotonic() + self.redial_after
        self.redial_after = min(2 * self.redial_after, REDIAL_MOST_SECONDS)

    def redial(self):
        """Looks for the engine when it is time to."""
        if self.channel is None and time.monotonic() >= self.redial_at:
            try:
                self.agreed = False
                self.channel = dial(b"resume", self.name)
                self.redial_at = float("inf")
            except (OSError, Gone):
                self.lose()

    def finish(self, stays, reason, exit_code=b"", signal_number=b"", cpu=b"", peak=b""):
        """Tells the end, and whether the connection stays for a next execution; waits until it is known."""
        self.send(FINISHED, int(stays), pack(reason, exit_code, signal_number, cpu, peak))
        while self.kept:
            self.redial()
            poller = select.poll()
            if self.fileno() >= 0:
                poller.register(self.fileno(), self.events())
            for _, events in poller.poll(millis_until(self.redial_at)):
                self.serve(events)

    def close(self):
        if self.channel is not None:
            self.channel.close()
        self.channel = None


def millis_until(moment):
    """How long a poll may wait for a moment of the monotonic clock; None for ever."""
    if moment == float("inf"):
        return None
    return max(0.0, moment - time.monotonic()) * 1000 + 1


class Run:
    """What the supervisors of a command and of a cell have in common: one loop over descriptors."""

    def __init__(self, engine, request, outputs, wakeup):
        self.engine = engine
        self.outputs = outputs
        self.wakeup = wakeup
        self.deadline = time.monotonic() + int(request["deadline"][0]) / 1000
        self.reason = None
        self.status = None
        self.over_at = None
        for output in outputs:
            output.offset = 0

    # What a subclass adds.
    def has_begun(self):
        """Whether STARTED was sent, before which nothing else is."""
        return True

    def register(self, poller):
        """Adds descriptors of its own."""

    def ready(self, fd):
        """One of its own descriptors is ready."""

    def news_fd(self):
        """A descriptor to hear from however slow the engine reads, negative when there is none."""
        return -1

    def hear(self):
        """The descriptor for news is ready."""

    def input_fd(self):
        """A descriptor to write the program's input to however slow the engine reads, or negative."""
        return -1

    def feed(self):
        """The descriptor for input is ready."""

    def heed(self, numbers):
        """Obeys signals of process 1."""

    def children_ended(self):
        """Some child ended."""

    def last_words(self, channel, read):
        """Reads what a process said before it ended, which may be seen after its end."""
        for _ in range(2 * MAX_RESULT_BYTES // CHUNK_BYTES + 1):
            if channel.fileno() < 0 or not wait_for(channel.fileno(), select.POLLIN, 0):
                return
            read()

    def loop(self):
        """Serves until the run is over and its output is sent."""
        # What came together with the request.
        self.obey(self.engine.take())
        while not (self.over_at is not None and self.is_drained()):
            self.engine.redial()
            self.engine.tell_input()
            poller = select.poll()
            by_fd = {}
            full = self.engine.is_full()
            engine_fd = self.engine.fileno()
            if engine_fd >= 0:
                poller.register(engine_fd, self.engine.events())
            poller.register(self.wakeup.reader, select.POLLIN)
            news_fd = self.news_fd()
            if news_fd >= 0:
                poller.register(news_fd, select.POLLIN)
            input_fd = self.input_fd()
            if input_fd >= 0:
                poller.register(input_fd, select.POLLOUT)
            if not full:
                for output in self.outputs if self.has_begun() else ():
                    if output.fd >= 0:
                        by_fd[output.fd] = output
                        poller.register(output.fd, select.POLLIN)
                self.register(poller)
            for fd, events in poller.poll(self.timeout_millis()):
                if fd == engine_fd:
                    self.obey(self.engine.serve(events))
                elif fd == self.wakeup.reader:
                    self.heed(self.wakeup.clear())
                    self.children_ended()
                elif fd == news_fd:
                    self.hear()
                elif fd == input_fd:
                    self.feed()
                elif self.engine.is_full():
                    # A stream before this one took the room.
                    break
                elif fd in by_fd:
                    self.forward(by_fd[fd])
                else:
                    self.ready(fd)
            if self.over_at is None and time.monotonic() >= self.deadline:
                self.end("deadline")
                self.deadline = float("inf")

    def timeout_millis(self):
        if self.over_at is None:
            moment = self.deadline
        elif self.engine.is_full():
            moment = float("inf")
        else:
            moment = self.over_at + DRAIN_SECONDS
        return millis_until(min(moment, self.engine.redial_at))

    def is_drained(self):
        if all(output.fd < 0 for output in self.outputs):
            return True
        return (
            all(output.drained() for output in self.outputs)
            and time.monotonic() >= self.over_at + DRAIN_SECONDS
        )

    def forward(self, output):
        """Sends what can be read of a stream; false when there is nothing."""
        data = output.read() if output.fd >= 0 else None
        if data:
            self.engine.send(output.kind, output.offset, data)
            output.offset += len(data)
        return data

    def obey(self, signals):
        # As with the kernel, the same one many times at once is one.
        for number in dict.fromkeys(signals):
            if self.over_at is None:
                self.signal(number)

    def signal(self, number):
        signal_tree(number)

    def end(self, reason):
        """Kills everything; the loop goes on until that has come to pass."""
        self.reason = reason
        signal_tree(signal.SIGKILL)

    def over(self):
        if self.over_at is None:
            self.over_at = time.monotonic()
            for output in self.outputs:
                output.note_due()

    def finish(self, stays, exit_code, signal_number, cpu_micros, peak_bytes):
        reason = self.reason or ("completed" if signal_number is None else "signaled")
        values = (exit_code, signal_number, cpu_micros, peak_bytes)
        texts = [b"" if value is None else b"%d" % value for value in values]
        self.engine.finish(stays, reason.encode(), *texts)


def split_status(status):
    """Returns exit code and signal of a wait status, one of them None."""
    if os.WIFSIGNALED(status):
        return None, os.WTERMSIG(status)
    return os.WEXITSTATUS(status), None


def environment_of(request, base):
    """The environment of an execution: the sandbox's, and the request's on top."""
    variables = dict(base)
    for pair in request.get("env", ()):
        name, _, value = pair.partition(b"=")
        variables[name] = value
    return variables


class Launcher:
    """The process that starts a supervisor's commands, already as the user and without any right.

    A process it starts shares its memory until it executes, where a fork of the agent's would copy a
    hundred pages first. No other process may look into it, but the user can stop or kill it: so
    nothing waits for it without a deadline, and a killed one is replaced.
    """

    def __init__(self, settings):
        self.settings = settings
        self.pid = None
        self.channel = None

    def start(self):
        """Makes the process, unless it is there."""
        if self.pid is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        channel_fd = theirs.detach()

        def body():
            keep_only(channel_fd)
            become_closed_user(self.settings)
            launch(channel_fd, self.settings.environment)

        try:
            self.pid = fork_child(body)
        except OSError:
            ours.close()
            raise
        finally:
            os.close(channel_fd)
        self.channel = Channel(ours)

    def order(self, payload, fds, deadline):
        """Tells it what to start, as far as it takes that before the deadline."""
        send_signal([self.pid], signal.SIGCONT)
        sock = self.channel.sock
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=3i", *fds))]
        parts = [memoryview(HEADER.pack(len(payload), REQUEST, 0)), memoryview(payload)]
        while parts:
            try:
                sent = sock.sendmsg(parts, rights)
            except BlockingIOError:
                if not wait_for(sock.fileno(), select.POLLOUT, deadline):
                    return
                continue
            rights = []
            parts = unsent(parts, sent)

    def keep_going(self):
        """The user may have stopped it, and its program's end would not be told."""
        try:
            if self.pid and os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None:
                send_signal([self.pid], signal.SIGCONT)
        except ChildProcessError:
            pass

    def forget(self):
        """Its end was waited for."""
        self.pid = None
        self.channel.close()

    def end(self):
        """Ends it, and waits until it has."""
        if self.pid is not None:
            send_signal([self.pid], signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.forget()


def launch(channel_fd, base_environment):
    """The life of a launcher: one command after the other."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in IGNORED_BY_LAUNCHERS:
        signal.signal(number, signal.SIG_IGN)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=channel_fd)
    usual = inherited()
    while True:
        header, rights, _, _ = sock.recvmsg(
            HEADER.size, socket.CMSG_SPACE(12), socket.MSG_CMSG_CLOEXEC
        )
        if not header:
            return
        header += receive_exactly(sock, HEADER.size - len(header))
        request = named(receive_exactly(sock, HEADER.unpack(header)[0]))
        fds = struct.unpack("=3i", rights[0][2])
        try:
            pid = start_program(request, base_environment, fds)
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            fields = pack(type(error).__name__.encode(), text.encode()[:2000])
            sock.sendall(frame(ERROR, 0, fields))
            continue
        finally:
            for fd in fds:
                os.close(fd)
            # Its source may be large.
            request = None
        sock.sendall(frame(STARTED, pid))
        status, cpu_micros, peak_kib = await_end(pid)
        # A program can make siblings of its own, for which the supervisor is to be the one who waits.
        leaves = len(children()) > 1
        own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        numbers = (leaves, cpu_micros, peak_kib, own_kib)
        sock.sendall(frame(FINISHED, status, pack(*(b"%d" % number for number in numbers))))
        # Only now: until it is told, how it ended must not die with this process.
        os.waitpid(pid, 0)
        if leaves or inherited() != usual:
            return


def inherited():
    """What the user's processes can change in each other, and what those then start has as well."""
    return (
        [resource.getrlimit(number) for number in range(RLIMITS)],
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getscheduler(0),
        os.sched_getaffinity(0),
    )


def await_end(pid):
    """Returns status, processor time and peak of a child that has ended, and leaves it unwaited for."""
    info, usage = ctypes.create_string_buffer(128), ctypes.create_string_buffer(256)
    while True:
        # Unlike the call of the library the kernel's also tells the usage.
        flags = os.WEXITED | os.WNOWAIT
        if libc.syscall(SYS_WAITID, os.P_PID, pid, info, flags, usage) != 0:
            # The supervisor knows how to go on without this process.
            raise OSError(ctypes.get_errno(), "waitid")
        code, status = struct.unpack_from("=8xi12xi", info)
        if code == os.CLD_EXITED:
            status <<= 8
        elif code not in (os.CLD_KILLED, os.CLD_DUMPED):
            # It is traced by this process, by its own wish: it has stopped, and stays so.
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
            continue
        seconds, micro, system_seconds, system_micro, peak_kib = struct.unpack_from("=5q", usage)
        return status, (seconds + system_seconds) * 1000000 + micro + system_micro, peak_kib


def start_program(request, base_environment, fds):
    """Starts a command's program on three descriptors; returns its pid."""
    script_fd = -1
    if "argv" in request:
        argv = request["argv"]
    elif len(request["source"][0]) <= MAX_ARGUMENT_BYTES:
        argv = [b"bash", b"-c", request["source"][0]]
    else:
        script_fd = memory_file("script", request["source"][0])
        os.set_inheritable(script_fd, True)
        argv = [b"bash", b"/dev/fd/%d" % script_fd]
    enter(request.get("cwd", [b""])[0])
    environment = environment_of(request, base_environment)
    if "terminal" in request:
        # The first terminal that the leader of a session opens becomes the session's own.
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, request["terminal"][0], os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
    else:
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)]
    failure = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        for path in candidates(argv[0], environment):
            try:
                return os.posix_spawn(
                    path,
                    argv,
                    environment,
                    file_actions=actions,
                    setsid=True,
                    setsigdef=IGNORED_BY_LAUNCHERS,
                )
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                failure = error
    finally:
        if script_fd >= 0:
            os.close(script_fd)
    raise failure


def candidates(name, environment):
    """Returns the paths a program may have, by the folders of PATH as a shell looks through them."""
    if b"/" in name:
        return [name]
    folders = environment.get(b"PATH", DEFAULT_PATH).split(b":")
    paths = [os.path.join(folder, name) for folder in folders]
    return [path for path in paths if os.access(path, os.F_OK)]


def enter(folder):
    """Changes to a folder given relative to the home."""
    try:
        os.chdir(os.path.join(os.fsencode(HOME), folder))
    except OSError as error:
        text = "working directory: %s" % os.strerror(error.errno)
        raise type(error)(0, text) from None


class CommandRun(Run):
    """A command: a process tree with pipes of its own."""

    def __init__(self, channel, payload, launcher, wakeup):
        request = named(payload)
        conversation = Conversation(channel, request["id"][0])
        # Why it cannot be started, if that is known before it is tried.
        self.failure = None
        # Kept open while the program runs: it may close its terminal, and open it again.
        self.terminal_fd = -1
        first, stays_open = request.pop("stdin", [b""])[0], "input" in request
        if "terminal" in request:
            outputs = self.open_terminal(request, conversation, first, stays_open)
        else:
            outputs = self.open_pipes(conversation, first, stays_open)
        super().__init__(conversation, request, outputs, wakeup)
        self.program = request.get("argv", [b"bash"])[0]
        # What the launcher is told: all but the input, and where its terminal is.
        self.orders = repack(request) if first or "terminal" in request else payload
        self.is_large = len(payload) > KEPT_REQUEST_BYTES
        self.launcher = launcher
        self.launches = 0
        self.launcher_leaves = False
        self.pid = None
        # Signals that came before there was a program to get them.
        self.early = []
        self.cpu_micros = 0
        self.peak_kib = 0
        # Until it executes, a program has the launcher's memory: a peak below that is not its own.
        self.floor_kib = 0

    def open_pipes(self, conversation, first, stays_open):
        """Makes the pipes of a program; returns its outputs."""
        stdout, stdout_writer = output_pipe(STDOUT)
        stderr, stderr_writer = output_pipe(STDERR)
        stdin_reader, stdin_writer = os.pipe()
        self.theirs = (stdin_reader, stdout_writer, stderr_writer)
        conversation.input = Input(stdin_writer, first, stays_open)
        return [stdout, stderr]

    def open_terminal(self, request, conversation, first, stays_open):
        """Makes the terminal of a program; returns its output."""
        self.theirs = ()
        try:
            master, slave, path = open_terminal(*map(int, request["terminal"]))
        except OSError as error:
            self.failure = error
            return []
        request["terminal"] = [path]
        self.terminal_fd = slave
        self.theirs = (os.dup(slave), os.dup(slave), os.dup(slave))
        conversation.input = TerminalInput(os.dup(master), first, stays_open)
        return [TerminalOutput(master, STDOUT)]

    def start(self):
        """Has the launcher start the program, with a new one for each that is killed before it could."""
        if self.failure is not None:
            name = type(self.failure).__name__.encode()
            self.refuse(name, b"terminal: " + os.strerror(self.failure.errno).encode())
            return
        while self.launches < MAX_LAUNCHES:
            self.launches += 1
            try:
                self.launcher.start()
            except OSError as error:
                self.refuse(type(error).__name__.encode(), error.strerror.encode())
                return
            try:
                self.launcher.order(self.orders, self.theirs, self.deadline)
                return
            except OSError:
                self.launcher.end()
        self.refuse(b"ChildProcessError", b"what starts it is killed again and again")

    def begun(self, pid):
        self.pid = pid
        self.engine.send(STARTED, pid)
        self.close_theirs()
        for number in self.early:
            self.signal(number)

    def close_theirs(self):
        for fd in self.theirs:
            os.close(fd)
        self.theirs = ()

    def refuse(self, name, detail):
        """Tells why it cannot be started; the loop ends at once."""
        self.reason = self.reason or "not-started"
        self.close_theirs()
        self.engine.send(ERROR, 0, pack(name, self.program[:1024] + b": " + detail, b""))
        self.over()

    def input_fd(self):
        return self.engine.input.fd if self.engine.input.is_due() else -1

    def feed(self):
        if self.engine.input.is_due():
            self.engine.input.feed()

    def signal(self, number):
        if self.pid is not None:
            signal_tree(number, self.launcher.pid)
        elif number not in self.early:
            self.early.append(number)

    def has_begun(self):
        return self.pid is not None or self.over_at is not None

    def news_fd(self):
        return -1 if self.launcher.channel is None else self.launcher.channel.fileno()

    def hear(self):
        """Takes what the launcher tells."""
        try:
            frames = self.launcher.channel.receive()
        except Gone:
            self.launcher.channel.close()
            return
        for kind, number, payload in frames:
            if kind == STARTED:
                self.begun(number)
            elif kind == ERROR:
                self.refuse(*unpack(payload))
            elif kind == FINISHED:
                leaves, cpu_micros, peak_kib, own_kib = map(int, unpack(payload))
                self.launcher_leaves = bool(leaves)
                self.floor_kib = own_kib
                self.ended(number, cpu_micros, peak_kib)

    def children_ended(self):
        ended = {pid: (status, usage) for pid, status, usage in reap()}
        self.launcher.keep_going()
        _, usage = ended.pop(self.launcher.pid, (None, None))
        if usage is not None:
            self.launcher_ended(usage, set(ended))
        for pid, (status, usage) in ended.items():
            if pid != self.pid:
                self.cpu_micros += micros(usage)
                self.peak_kib = max(self.peak_kib, usage.ru_maxrss)
            elif self.status is None:
                self.ended(status, micros(usage), usage.ru_maxrss)

    def launcher_ended(self, usage, ended):
        """Its program, if there is one, is now this process's child."""
        self.last_words(self.launcher.channel, self.hear)
        self.launcher.forget()
        self.floor_kib = max(self.floor_kib, usage.ru_maxrss)
        mine = ended | children()
        if self.over_at is not None:
            return
        if self.pid is None and mine:
            self.begun(min(mine))
        if self.pid is None and self.reason is None:
            self.start()
        elif self.pid not in mine:
            # It was killed before there was a program.
            self.ended(signal.SIGKILL, 0, 0)

    def ended(self, status, cpu_micros, peak_kib):
        self.status = status
        self.cpu_micros += cpu_micros
        self.peak_kib = max(self.peak_kib, peak_kib)
        self.over()

    def over(self):
        # The end of its output is where the last program closes it.
        if self.terminal_fd >= 0:
            os.close(self.terminal_fd)
        self.terminal_fd = -1
        super().over()

    def complete(self):
        """Tells the end; returns whether there is nothing left that needs this supervisor."""
        if self.launcher_leaves:
            self.launcher.end()
            self.children_ended()
        left = children() - {self.launcher.pid} or self.is_held()
        stays = not (left or self.launcher_leaves or self.is_large)
        if self.status is None:
            self.engine.finish(stays, self.reason.encode())
            return stays
        peak = self.peak_kib * 1024 if self.peak_kib > self.floor_kib else None
        self.finish(stays, *split_status(self.status), self.cpu_micros, peak)
        return stays

    def is_held(self):
        """Whether daemons still have its pipes that are no children here, as they are of process 1 on gVisor."""
        return self.launcher.settings.on_gvisor and any(output.fd >= 0 for output in self.outputs)

    def close(self):
        self.close_theirs()
        self.engine.input.close()
        for output in self.outputs:
            if output.fd >= 0:
                os.close(output.fd)

    def linger(self):
        """Stays as the reaper of daemons that were left, and keeps their pipes from breaking."""
        self.engine.close()
        self.launcher.end()
        while has_children() or self.is_held():
            poller = select.poll()
            poller.register(self.wakeup.reader, select.POLLIN)
            for output in self.outputs:
                if output.fd >= 0:
                    poller.register(output.fd, select.POLLIN)
            poller.poll()
            self.wakeup.clear()
            for _ in reap():
                pass
            for output in self.outputs:
                if output.fd >= 0:
                    output.read()


class CommandSupervisor:
    """Runs one command after the other, with a launcher and the connection ready for the next."""

    def __init__(self, channel, settings):
        self.channel = channel
        self.wakeup = Wakeup()
        self.launcher = Launcher(settings)

    def loop(self):
        try:
            stays = True
            while stays:
                self.get_ready()
                stays = self.run(self.channel.await_request(None))
        except Gone:
            signal_tree(signal.SIGKILL)

    def get_ready(self):
        try:
            self.launcher.start()
        except OSError as error:
            # The next command tries again, and tells its caller.
            log("launcher: %s" % error)

    def run(self, payload):
        """Runs a command; returns whether there can be a next one."""
        run = CommandRun(self.channel, payload, self.launcher, self.wakeup)
        run.start()
        run.feed()
        run.loop()
        stays = run.complete()
        # It may have ended over another connection than it began on.
        self.channel = run.engine.channel
        if stays:
            run.close()
        else:
            run.linger()
        return stays and self.channel is not None


def supervise_commands(name, settings):
    """The life of a supervisor of commands; its first one is known by a name, or yet to come."""
    keep_only()
    become_reaper(settings)
    channel = dial(b"run", name) if name else dial(b"ready", b"command")
    CommandSupervisor(channel, settings).loop()


# --- Contexts --------------------------------------------------------------------------------


class Interpreter:
    """The process that keeps a context's variables, as its supervisor sees it.

    It gets a REQUEST per cell on its channel. It answers with STARTED once an interrupt would end that
    cell and nothing else, then RESULT and ERROR, and FINISHED with the exit code. Cells count from 1, and
    the numbers of STARTED and FINISHED have 256 times the cell's on top: what is left of a cell that
    was ended before its time must not end the next. User code runs in it: nothing it says is to be
    trusted.
    """

    def __init__(self, driver, settings, folder):
        self.stdout, stdout_writer = output_pipe(STDOUT)
        self.stderr, stderr_writer = output_pipe(STDERR)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel = Channel(ours, MAX_RESULT_BYTES)
        channel_fd = theirs.detach()
        self.driver = driver
        self.preloaded_bytes = settings.preloaded_bytes
        self.cells = 0

        def body():
            try:
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(stdout_writer, 1)
                os.dup2(stderr_writer, 2)
                keep_only(channel_fd)
                driver.become(channel_fd, settings, folder)
            except OSError as error:
                fields = pack(type(error).__name__.encode(), str(error).encode()[:2000], b"")
                finished = frame(FINISHED, 1 << 8 | NOT_FOUND_CODE)
                os.write(channel_fd, frame(ERROR, 0, fields) + finished)

        try:
            self.pid = fork_child(body)
        finally:
            for fd in (channel_fd, stdout_writer, stderr_writer):
                os.close(fd)
        # Opened once, as they are read twice per cell.
        self.stat_fd = os.open("/proc/%d/stat" % self.pid, os.O_RDONLY)
        self.status_fd = os.open("/proc/%d/status" % self.pid, os.O_RDONLY)

    def begin(self, payload):
        """Hands it the next cell, as that came."""
        self.cells += 1
        self.channel.send_bytes(self.driver.encode(payload, self.cells))

    def close(self):
        self.channel.close()
        for fd in (self.stdout.fd, self.stderr.fd, self.stat_fd, self.status_fd):
            if fd >= 0:
                os.close(fd)

    def cpu_micros(self):
        """Processor time of the process itself, exact, and of its ended children, in ticks."""
        own = time.clock_gettime(~self.pid << 3 | 2)  # MAKE_PROCESS_CPUCLOCK, CPUCLOCK_SCHED.
        fields = os.pread(self.stat_fd, 1024, 0).rpartition(b")")[2].split()
        ticks = int(fields[13]) + int(fields[14])
        return int(own * 1e6) + ticks * 1000000 // os.sysconf("SC_CLK_TCK")

    def peak_bytes(self):
        fields = os.pread(self.status_fd, 4096, 0).partition(b"VmHWM:")[2].split(None, 1)
        return self.own_bytes(int(fields[0])) if fields else None

    def own_bytes(self, kib):
        """What of its memory is not the zygote's."""
        return max(0, kib * 1024 - self.preloaded_bytes)


class CellRun(Run):
    """One piece of code in the context."""

    def __init__(self, engine, request, interpreter, wakeup):
        super().__init__(engine, request, [interpreter.stdout, interpreter.stderr], wakeup)
        self.interpreter = interpreter
        self.replied = 0
        self.begun = False
        # An interrupt that came before.
        self.interrupted = False
        self.repeats = 0
        self.repeat_at = float("inf")
        self.exit_code = None
        self.cpu_before = interpreter.cpu_micros()
        self.cpu_micros = None
        self.peak = None

    def register(self, poller):
        channel = self.interpreter.channel
        if self.over_at is None and channel.fileno() >= 0:
            poller.register(
                channel.fileno(), select.POLLIN | (select.POLLOUT if channel.outgoing else 0)
            )

    def ready(self, fd):
        channel = self.interpreter.channel
        try:
            channel.flush()
        except Gone:
            # It is ending; what it has said is still to be read.
            channel.outgoing = []
        try:
            frames = channel.receive()
        except Gone:
            # The code closed it, or the process is ending: without it there is no context.
            self.give_up()
            return
        for kind, offset, payload in frames:
            if kind in (RESULT, ERROR):
                self.replied += len(payload)
                if self.replied > MAX_REPLIED_BYTES:
                    self.give_up()
                    return
                # What was printed before goes before.
                for output in self.outputs:
                    while not self.engine.is_full() and self.forward(output):
                        pass
                self.engine.send(kind, 0, payload)
            elif kind == STARTED and offset >> 8 == self.interpreter.cells:
                self.begun = True
                if self.interrupted:
                    self.signal(signal.SIGINT)
            elif kind == FINISHED and offset >> 8 == self.interpreter.cells:
                self.exit_code = offset & 0xFF
                self.measure()
                self.over()

    def signal(self, number):
        if number == signal.SIGINT and not self.begun:
            self.interrupted = True
            return
        super().signal(number)
        if number == signal.SIGINT and self.interpreter.driver.finish is not None:
            self.repeat_at = time.monotonic() + INTERRUPT_REPEAT_SECONDS

    def timeout_millis(self):
        if self.over_at is None and time.monotonic() >= self.repeat_at:
            self.repeat()
        repeat_at = self.repeat_at if self.over_at is None else float("inf")
        waits = [super().timeout_millis(), millis_until(repeat_at)]
        return min((wait for wait in waits if wait is not None), default=None)

    def repeat(self):
        """Interrupts again what did not end, and next asks for its end, in turn.

        A shell that is about to wait for a program misses an interrupt that this one did not get, and
        one that has just ended a cell drops the line behind it.
        """
        self.repeats += 1
        more = self.repeats < MAX_INTERRUPT_REPEATS
        self.repeat_at = time.monotonic() + INTERRUPT_REPEAT_SECONDS if more else float("inf")
        if self.repeats % 2:
            signal_tree(signal.SIGINT)
            return
        try:
            self.interpreter.channel.send_bytes([self.interpreter.driver.finish(self.interpreter.cells)])
        except Gone:
            # It is ending, which is told by its wait status.
            pass

    def heed(self, numbers):
        if self.over_at is None:
            if RESTARTED in numbers:
                self.signal(signal.SIGKILL)
            elif INTERRUPTED in numbers:
                self.signal(signal.SIGINT)

    def give_up(self):
        self.interpreter.channel.close()
        signal_tree(signal.SIGKILL)

    def measure(self):
        try:
            self.cpu_micros = max(0, self.interpreter.cpu_micros() - self.cpu_before)
            self.peak = self.interpreter.peak_bytes()
        except (OSError, IndexError):
            pass

    def is_drained(self):
        # What the code wrote is in the pipe before it says that it is done.
        return all(output.drained() for output in self.outputs)

    def children_ended(self):
        for pid, status, usage in reap():
            if pid == self.interpreter.pid:
                channel = self.interpreter.channel
                self.last_words(channel, lambda: self.ready(channel.fileno()))
                self.status = status
                self.cpu_micros = max(0, micros(usage) - self.cpu_before)
                self.peak = self.interpreter.own_bytes(usage.ru_maxrss)
                self.over()

    def complete(self):
        if self.status is not None and self.exit_code is None:
            self.finish(True, *split_status(self.status), self.cpu_micros, self.peak)
        else:
            self.finish(True, self.exit_code, None, self.cpu_micros, self.peak)


def as_frame(payload, number):
    return HEADER.pack(len(payload), REQUEST, 0), payload


class Driver:
    """How the interpreter of a language is made and given its cells.

    `become` turns a process into it, given its channel, the settings and the folder it begins in; and
    `encode` makes of a request's payload and the cell's number what it is sent. One that may miss an
    interrupt, or drop with it what it was sent, has `finish`, which makes of the cell's number what has
    it tell the end again.
    """

    def __init__(self, become, encode=as_frame, finish=None):
        self.become = become
        self.encode = encode
        self.finish = finish


class Context:
    """The supervisor of a context: takes cells one after the other.

    A cell comes by a name to dial with, or over a connection that an earlier one left. The engine
    closes what it needs no more. Process 1 hangs up when the context is deleted.
    """

    def __init__(self, names_fd, driver, settings):
        self.names = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=names_fd)
        self.driver = driver
        self.settings = settings
        self.deleted = False
        self.wakeup = Wakeup()
        self.interpreter = None
        self.channels = []

    def get_ready(self):
        """Makes the interpreter ahead of the first cell, and tells process 1 who waits for that."""
        self.interpreter = Interpreter(self.driver, self.settings, None)
        self.names.send(b"%d" % os.getpid())

    def loop(self):
        while True:
            poller = select.poll()
            poller.register(self.names.fileno(), select.POLLIN)
            poller.register(self.wakeup.reader, select.POLLIN)
            for channel in self.channels:
                poller.register(channel.fileno(), select.POLLIN)
            outputs = []
            if self.interpreter is not None:
                outputs = [self.interpreter.stdout, self.interpreter.stderr]
                for output in outputs:
                    if output.fd >= 0:
                        poller.register(output.fd, select.POLLIN)
            # A request may have come together with what ended the cell before.
            held = [channel for channel in self.channels if channel.frames]
            events = dict(poller.poll(0 if held else None))
            ready = list(events)
            # Also when the poll knew of none: what process 1 told goes before the cells behind it.
            if self.heed():
                outputs = []
            self.deleted = bool(events.get(self.names.fileno(), 0) & select.POLLHUP)
            for output in outputs:
                # Threads and children that write between cells have nobody to read it.
                if output.fd in ready:
                    output.read()
            for channel in list(self.channels):
                if channel in held or channel.fileno() in ready:
                    self.serve(channel, channel.poll_request)
            if self.names.fileno() in ready:
                name = self.names.recv(256)
                if not name:
                    signal_tree(signal.SIGKILL)
                    return
                self.dial(name)

    def heed(self):
        """Learns of ended children and obeys process 1; returns whether there is no interpreter then."""
        restarted = RESTARTED in self.wakeup.clear()
        ended = [pid for pid, _, _ in reap()]
        if self.interpreter is not None and (restarted or self.interpreter.pid in ended):
            self.forget()
        return self.interpreter is None

    def forget(self):
        """Ends what is left of an interpreter that is gone; the next cell gets a new one."""
        signal_tree(signal.SIGKILL)
        self.interpreter.close()
        self.interpreter = None

    def dial(self, name):
        """Makes the connection of a cell and runs that."""
        try:
            channel = dial(b"run", name)
        except OSError as error:
            log("context: %s" % error)
            return
        self.channels.append(channel)
        self.serve(channel, lambda: channel.await_request(REQUEST_SECONDS))

    def serve(self, channel, find):
        """Runs the cell that has come over a connection, if `find` finds it whole."""
        try:
            payload = find()
        except Gone:
            channel.close()
            self.channels.remove(channel)
            return
        if payload is not None:
            request = named(payload)
            engine = Conversation(channel, request["id"][0])
            self.channels.remove(channel)
            try:
                self.run(engine, request, payload)
            except Gone:
                engine.close()
            # It may have ended over another connection than it began on.
            if engine.channel is not None:
                self.channels.append(engine.channel)

    def refuse(self, engine, name, detail):
        engine.send(ERROR, 0, pack(name, detail, b""))
        engine.finish(not self.deleted, b"not-started")

    def run(self, engine, request, payload):
        if self.deleted:
            self.refuse(engine, b"ContextDeleted", b"the context was deleted before this ran in it")
            return
        if self.interpreter is None:
            folder = request.get("folder", [HOME.encode()])[0]
            try:
                self.interpreter = Interpreter(self.driver, self.settings, folder)
            except OSError as error:
                self.refuse(engine, type(error).__name__.encode(), error.strerror.encode())
                return
        cell = CellRun(engine, request, self.interpreter, self.wakeup)
        engine.send(STARTED, self.interpreter.pid)
        try:
            self.interpreter.begin(payload)
        except Gone:
            # It is ending; that it has is told by its wait status.
            pass
        try:
            cell.loop()
            cell.complete()
        except Gone:
            self.interrupt(cell)
            raise
        finally:
            if cell.status is not None or self.interpreter.channel.fileno() < 0:
                self.forget()

    def interrupt(self, cell):
        """The engine wants no more of a cell: ends it, and keeps the variables."""
        if cell.over_at is not None:
            return
        deadline = time.monotonic() + INTERRUPT_SECONDS
        cell.engine = Nowhere()
        while cell.over_at is None and time.monotonic() < deadline:
            # Again and again: one that comes before the cell has begun is ignored.
            signal_tree(signal.SIGINT)
            poller = select.poll()
            poller.register(self.wakeup.reader, select.POLLIN)
            cell.register(poller)
            for output in cell.outputs:
                if output.fd >= 0:
                    poller.register(output.fd, select.POLLIN)
            poller.poll(INTERRUPT_AGAIN_MILLIS)
            self.wakeup.clear()
            cell.children_ended()
            for output in cell.outputs:
                if output.fd >= 0:
                    output.read()
            if cell.over_at is None and self.interpreter.channel.fileno() >= 0:
                cell.ready(self.interpreter.channel.fileno())
        if cell.over_at is None:
            signal_tree(signal.SIGKILL)
            while cell.status is None:
                wait_for(self.wakeup.reader, select.POLLIN, None)
                self.wakeup.clear()
                cell.children_ended()


class Nowhere:
    """Stands in for an engine that listens no more."""

    def is_full(self):
        return False

    def send(self, kind, offset=0, payload=b""):
        """Drops the frame."""


def supervise_context(names_fd, driver, settings, is_spare=False):
    """The life of a context's supervisor; a spare one is made before there is a context for it."""
    keep_only(names_fd)
    become_reaper(settings)
    context = Context(names_fd, driver, settings)
    if is_spare:
        context.get_ready()
    context.loop()


def become_node(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of JavaScript code."""
    run_node(channel_fd, settings, folder, [])


def become_node_for_typescript(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of TypeScript code."""
    run_node(channel_fd, settings, folder, ["typescript", settings.typescript])


def run_node(channel_fd, settings, folder, arguments):
    # Otherwise it takes the machine's memory for its own, and tidies up too late.
    heap = "--max-old-space-size=%d" % settings.memory_mib
    become_program(channel_fd, settings, folder, settings.node, [heap, NODE_PROGRAM, *arguments])


def become_java(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of Java code."""
    options = [
        # The rest is for the compiler's own memory, threads and the sandbox's disk.
        "-Xmx%dm" % (settings.memory_mib * 5 // 8),
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Dfile.encoding=UTF-8",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
    ]
    become_program(channel_fd, settings, folder, settings.java, [*options, JAVA_PROGRAM])


def become_r(channel_fd, settings, folder):
    """Turns this process into the one that keeps the variables of R code."""
    options = ["--no-echo", "--no-restore", "--no-save", "--file=%s" % R_PROGRAM]
    become_program(channel_fd, settings, folder, settings.r, options)


def become_program(channel_fd, settings, folder, path, arguments):
    """Turns this process into a program of the user's that has the channel as PROGRAM_CHANNEL."""
    become_user(settings)
    enter(folder)
    os.dup2(channel_fd, PROGRAM_CHANNEL)
    os.set_inheritable(PROGRAM_CHANNEL, True)
    os.execve(path, [os.path.basename(path), *arguments], settings.environment)


def become_bash(channel_fd, settings, folder):
    """Turns this process into a shell that takes its commands from the channel, as from a terminal.

    Interactive, as only such a shell goes on with its next command when one is interrupted.
    """
    become_user(settings)
    enter(folder)
    # What it says of itself at its start is not for the user.
    errors_fd = os.dup(2)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    for fd, number in ((channel_fd, 0), (errors_fd, BASH_ERRORS)):
        os.dup2(fd, number)
        os.set_inheritable(number, True)
    options = ["--norc", "--noprofile", "--noediting", "+H", "+m", "-i"]
    os.execve("/bin/bash", ["bash", *options], settings.environment)


def encode_for_bash(payload, number):
    """The lines a shell reads: at first what it is to forget of a terminal, the cell, and its end.

    In POSIX mode, which goes with a variable, `unset` and `eval` are found before functions and, with the
    backslash, aliases of their names.
    """
    source = named(payload)["source"][0].replace(b"\0", b"").replace(b"'", b"'\\''")
    begin = b""
    if number == 1:
        begin = b"PS1= PS2= PROMPT_COMMAND=; set +o history; exec 2>&%d %d>&- 4<&0\n" % (
            BASH_ERRORS,
            BASH_ERRORS,
        )
    return (
        begin,
        b"{ POSIXLY_CORRECT=1; \\unset -f builtin; ",
        b"\\builtin printf '%s' >&4; } 2>/dev/null; " % octal(STARTED, number),
        b"\\eval '\\unset POSIXLY_CORRECT\n%s' </dev/null 4>&-\n" % source,
        finish_of_bash(number),
    )


def finish_of_bash(number):
    """The line that has a shell tell the end of a cell with its exit code."""
    return (
        b"{ POSIXLY_CORRECT=$?; \\unset -f builtin; "
        b"\\builtin printf -v POSIXLY_CORRECT %%x \"$POSIXLY_CORRECT\"; "
        b"\\builtin printf '%s\\x'\"$POSIXLY_CORRECT\" >&4; "
        b"\\unset POSIXLY_CORRECT; } 2>/dev/null\n" % octal(FINISHED, number)[:-4]
    )


def octal(kind, cell):
    """A frame without a payload, in the words of `printf`."""
    return b"".join(b"\\%03o" % byte for byte in frame(kind, cell << 8))


# --- Inside the Python interpreter -----------------------------------------------------------


def load_program(name):
    """Loads a module that lies beside the agent, under no name by which user code finds it."""
    sys.path.insert(0, PROGRAMS)
    try:
        return __import__(name)
    finally:
        del sys.path[0]
        sys.modules.pop(name, None)


def load_cell_modules():
    """Loads what only cells need, which takes as long as all the rest; in the zygote, once for all."""
    global cell_modules
    if cell_modules is None:
        import ast
        import linecache
        import traceback

        cell_modules = ast, linecache, traceback, load_program("sandkeeper_cells")
    return cell_modules


cell_modules = None


def become_python(channel_fd, settings, folder):
    """The life of the Python context's process: as the user, cell after cell in one namespace.

    A spare one is told no folder, so each begins in the one that its first cell comes with.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, INTERRUPTED, RESTARTED):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before the user's folders are on the path.
    modules = load_cell_modules()
    namespace = prepare_interpreter()
    # Python's own generator sees to that itself.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=channel_fd)
    number, mine, turn = 0, os.getpid(), _thread.allocate_lock()

    def tell(kind, offset=0, payload=b""):
        """Sends a frame, whole also where threads do; not from a process that the code has forked."""
        if os.getpid() == mine:
            with turn:
                sock.sendall(frame(kind, offset, payload))

    tools = modules[-1].Tools(
        namespace, lambda fields: tell(RESULT, 0, pack(*fields)), lambda text: cut(text, MAX_RESULT_CHARS)
    )
    namespace["__builtins__"].display = tools.display
    if folder is None:
        # What every cell writes to is copied now, and not while somebody waits.
        Cell(number, {"source": [b"pass"]}, {}, modules, tools, lambda *told: None).run()
    # A spare one waits here, where no code of the user's can reach it yet.
    if not sock.recv(1, socket.MSG_PEEK):
        return
    become_user(settings)
    drop_capabilities()
    # What the user may write to is looked into with the user's rights only.
    sys.path.insert(0, "")
    sys.path.append("%s/.local/lib/python%d.%d/site-packages" % (HOME, *sys.version_info[:2]))
    # Its own files in /proc are the user's again; the agent's rights are gone by now.
    prctl(PR_SET_DUMPABLE, 1)
    gc.enable()
    os.environb.clear()
    os.environb.update(settings.environment)
    # Figures are shown as results.
    os.environb.setdefault(b"MPLBACKEND", b"agg")
    while True:
        size, _, _ = HEADER.unpack(receive_exactly(sock, HEADER.size))
        request = named(receive_exactly(sock, size))
        number += 1
        if number == 1:
            enter(request.get("folder", [HOME.encode()])[0])
        stdin_fd = memory_file("stdin", request.get("stdin", [b""])[0])
        os.dup2(stdin_fd, 0)
        os.close(stdin_fd)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        cell = Cell(number, request, namespace, modules, tools, tell)
        code = cell.run()
        if os.getpid() != cell.pid:
            # The code forked, and the child came to the end of it.
            os._exit(code & 0xFF)
        tell(FINISHED, number << 8 | code & 0xFF)


def receive_exactly(sock, size):
    """Waits for so many bytes; ends the process when the supervisor is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = sock.recv_into(view)
        if count == 0:
            os._exit(0)
        view = view[count:]
    return data


def prepare_interpreter():
    """Makes this process look like a Python started for the user; returns its namespace."""
    import builtins
    import site

    # What `site` would do, without the .pth files of the host.
    site.setquit()
    site.sethelper()
    sys.path[:] = [path for path in sys.path if path] + site.getsitepackages()
    sys.argv[:] = [""]
    main = type(sys)("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(
            fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    return main.__dict__


def read_whole(fd):
    chunks = []
    while True:
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def cut(text, most):
    """Bounds a text, keeping both ends: an error's cause is at one of them."""
    if len(text) <= most:
        return text
    half = most // 2
    return text[:half] + "\n...\n" + text[-half:]


class Cell:
    """One piece of code, run in the namespace."""

    def __init__(self, number, request, namespace, modules, tools, tell):
        self.number = number
        self.pid = os.getpid()
        self.source = request["source"][0].decode("utf-8", "replace")
        self.cwd = request.get("cwd", [b""])[0]
        self.environment = environment_of(request, {})
        self.namespace = namespace
        self.name = "<cell %d>" % number
        self.ast, self.linecache, self.traceback, self.cells = modules
        self.tools = tools
        self.tell = tell

    def run(self):
        """Runs it and tells its results and its error; returns the exit code."""
        kept_environment = dict(os.environb) if self.environment else None
        kept_cwd = None
        code = 1
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                self.tell(STARTED, self.number << 8)
                os.environb.update(self.environment)
                if self.cwd:
                    kept_cwd = os.getcwd()
                    enter(self.cwd)
                code = self.evaluate()
            finally:
                sys.settrace(None)
                sys.setprofile(None)
                # From here on an interrupt would hit the agent's code, not the user's.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except SystemExit as end:
            code = self.exit_code(end)
        except BaseException as error:
            self.explain(error)
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except BaseException as error:
            log("flush: %s" % type(error).__name__)
        if kept_environment is not None:
            os.environb.clear()
            os.environb.update(kept_environment)
        if kept_cwd is not None:
            try:
                os.chdir(kept_cwd)
            except OSError:
                os.chdir(HOME)
        return code

    def evaluate(self):
        lines = self.source.splitlines(True)
        self.linecache.cache[self.name] = (len(self.source), None, lines, self.name)
        tree = self.cells.parse(self.source, self.name, self.ast)
        self.tools.begin()
        last = None
        if tree.body and isinstance(tree.body[-1], self.ast.Expr):
            last = self.ast.Expression(tree.body.pop().value)
        try:
            exec(compile(tree, self.name, "exec"), self.namespace)
            if last is not None:
                value = eval(compile(last, self.name, "eval"), self.namespace)
                if value is not None:
                    self.namespace["_"] = value
                    self.tools.show(value)
        finally:
            self.tools.show_figures()
        return 0

    def exit_code(self, end):
        if end.code is None:
            return 0
        if isinstance(end.code, int):
            return end.code
        sys.stderr.write("%s\n" % (end.code,))
        return 1

    def explain(self, error):
        """Leaves what an interpreter would print, without the agent's own frames."""
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != self.name:
            frames = frames.tb_next
        try:
            lines = self.traceback.format_exception(type(error), error, frames)
            text = cut("".join(lines), MAX_TRACEBACK_CHARS)
        except BaseException:
            text = ""
        try:
            value = cut(str(error), MAX_ERROR_CHARS)
        except BaseException:
            value = "(its message could not be made)"
        fields = (type(error).__name__[:256], value, text)
        payload = pack(*(field.encode("utf-8", "backslashreplace") for field in fields))
        self.tell(ERROR, 0, payload)


# --- Files -----------------------------------------------------------------------------------

FAULTS = {
    errno.ENOENT: b"NOT_FOUND",
    errno.ENOTDIR: b"NOT_A_DIRECTORY",
    errno.EEXIST: b"EXISTS",
    errno.EISDIR: b"IS_A_DIRECTORY",
    errno.ENOTEMPTY: b"NOT_EMPTY",
    errno.EACCES: b"PERMISSION",
    errno.EPERM: b"PERMISSION",
    errno.EROFS: b"PERMISSION",
    errno.EBUSY: b"PERMISSION",
    errno.ENOSPC: b"NO_SPACE",
    errno.EDQUOT: b"NO_SPACE",
    errno.ENOMEM: b"NO_SPACE",
    errno.ENAMETOOLONG: b"INVALID_PATH",
    errno.ELOOP: b"INVALID_PATH",
    errno.EFBIG: b"TOO_LARGE",
    errno.E2BIG: b"TOO_LARGE",
}
KINDS = {0o100000: b"FILE", 0o040000: b"DIRECTORY", 0o120000: b"SYMLINK"}
# What no call takes as a path.
TOO_LONG_BYTES = 4096

AT_FDCWD = -100
RENAME_NOREPLACE = 1


class Fault(Exception):
    """A refusal that no error number stands for."""

    def __init__(self, kind, path=b""):
        super().__init__(kind, path)
        self.kind = kind
        # What is wrong, where that is not the path of the request.
        self.path = path


def serve_files(transfer_id, settings):
    """The life of a transfer's worker: one request, with the user's rights."""
    keep_only()
    channel = dial(b"file", transfer_id)
    # Unlike other processes of the user this one holds a connection to the engine.
    become_closed_user(settings)
    request = named(channel.await_request(REQUEST_SECONDS))
    channel.sock.setblocking(True)
    try:
        FILE_CALLS[request["call"][0]](channel, request, place(request["path"][0]))
    except Fault as fault:
        channel.send(FAULT, 0, pack(fault.kind, fault.path))
    except OSError as error:
        channel.send(FAULT, 0, pack(FAULTS.get(error.errno, b"OTHER"), b""))


def place(field):
    """Returns the absolute path that a request names."""
    path = field.decode("utf-8", "surrogateescape")
    if not path or "\0" in path or ".." in path.split("/"):
        raise OSError(errno.ENAMETOOLONG, path)
    return os.path.join(HOME, path)


def describe(path, status=None):
    if status is None:
        status = os.lstat(path)
    kind = KINDS.get(status.st_mode & 0o170000, b"OTHER")
    return pack(
        os.fsencode(path),
        kind,
        b"%d" % (status.st_size if kind == b"FILE" else 0),
        b"%d" % (status.st_mode & 0o7777),
        b"%d" % status.st_mtime_ns,
    )


def make_folders(path):
    """Makes a folder and all above it that are missing, which may be more than Python can recurse."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise NotADirectoryError(errno.ENOTDIR, folder) from None


def write_file(channel, request, path):
    if os.path.isdir(path):
        raise OSError(errno.EISDIR, path)
    folder, name = os.path.split(path)
    if not name:
        raise OSError(errno.EISDIR, path)
    make_folders(folder)
    mode = 0o644
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        pass
    resumable, size = "part" in request, 0
    if resumable:
        part = os.fsdecode(request["part"][0])
        fd = open_upload(part, request)
        size = int(request["offset"][0])
        send_bytes(channel, fd, size)
        channel.send(STARTED)
    else:
        part = os.path.join(folder, ".sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns()))
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        if not receive_bytes(channel, fd, size, int(request["most"][0])):
            os.unlink(part)
            return
        os.fchmod(fd, mode)
        os.replace(part, path)
    except Gone:
        if not resumable:
            os.unlink(part)
        raise
    except BaseException:
        os.unlink(part)
        raise
    finally:
        os.close(fd)
    channel.send(DONE, 0, describe(path))


def receive_bytes(channel, fd, size, most):
    """Writes what comes to a file that has so many bytes; returns whether it is to stay."""
    fault = None
    while True:
        kind, _, payload = channel.await_frame(TRANSFER_SECONDS)
        if kind == DROP:
            return False
        if kind == COMMIT:
            break
        if kind != CHUNK:
            raise Gone
        size += len(payload)
        if fault is None:
            # After a fault the rest is read and dropped: the engine is still sending.
            try:
                if size > most:
                    raise OSError(errno.EFBIG, size)
                view = memoryview(payload)
                while view:
                    view = view[os.write(fd, view) :]
            except OSError as error:
                fault = error
    if fault is not None:
        raise fault
    return True


def unpack_archive(channel, request, path):
    most, limit = int(request["most"][0]), int(request["limit"][0])
    part = "/tmp/.sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns())
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(part)
    if receive_bytes(channel, fd, 0, most):
        make_folders(path)
        with os.fdopen(fd, "rb") as file:
            with_archives(lambda archives: archives.unpack(file, path, most, limit, make_folders))
        channel.send(DONE, 0, describe(path))


def collect_files(channel, request, path):
    patterns = [os.fsdecode(pattern) for pattern in request["pattern"]]
    most, limit = int(request["most"][0]), int(request["limit"][0])
    folder = open_folder(path)

    def send(data):
        channel.send(DATA, 0, data)

    count = with_archives(lambda archives: archives.collect(folder, patterns, most, limit, send))
    channel.send(DONE, 0, pack(b"%d" % count))


def with_archives(work):
    """Does work on archives, and makes what is wrong with them a fault."""
    archives = load_program("sandkeeper_archives")
    try:
        return work(archives)
    except archives.BadArchive as error:
        raise Fault(b"BAD_ARCHIVE", os.fsencode(error.entry)) from None
    except OverflowError as error:
        raise Fault(b"TOO_LARGE", os.fsencode(str(error))) from None


def open_upload(part, request):
    """Opens what has come of an upload for whoever goes on with it, cut to the offset they go on from."""
    folder = os.path.dirname(part)
    make_folders(folder)
    drop_old_uploads(folder, float(request["keep"][0]))
    offset, flags = int(request["offset"][0]), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    if offset == 0:
        if not os.path.lexists(part) and len(os.listdir(folder)) >= int(request["uploads"][0]):
            raise Fault(b"TOO_MANY_UPLOADS")
        flags |= os.O_CREAT
    try:
        fd = os.open(part, flags, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have put the file in place since.
        if not os.path.samestat(os.fstat(fd), os.lstat(part)):
            raise BlockingIOError
    except FileNotFoundError:
        raise Fault(b"UPLOAD_OFFSET") from None
    except BlockingIOError:
        raise Fault(b"UPLOAD_BUSY") from None
    if offset > os.fstat(fd).st_size:
        raise Fault(b"UPLOAD_OFFSET")
    os.ftruncate(fd, offset)
    return fd


def drop_old_uploads(folder, keep_seconds):
    for name in os.listdir(folder):
        part = os.path.join(folder, name)
        try:
            if os.lstat(part).st_mtime < time.time() - keep_seconds:
                os.unlink(part)
        except OSError:
            # Somebody else was faster, or the user made something else of it.
            continue


def read_file(channel, request, path):
    # A pipe must not block the open.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(fd)
    kind = KINDS.get(status.st_mode & 0o170000)
    if kind == b"DIRECTORY":
        raise OSError(errno.EISDIR, path)
    if kind != b"FILE":
        raise OSError(errno.EINVAL, path)
    os.lseek(fd, int(request["offset"][0]), os.SEEK_SET)
    send_bytes(channel, fd, int(request["most"][0]))
    channel.send(DONE)


def send_bytes(channel, fd, most):
    """Sends what a file has from where it stands."""
    while most > 0:
        data = os.read(fd, min(most, CHUNK_BYTES))
        if not data:
            break
        channel.send(DATA, 0, data)
        most -= len(data)


def list_folder(channel, request, path):
    left = int(request["limit"][0])

    def send(fd, above, depth):
        nonlocal left
        names = []
        with os.scandir(fd) as entries:
            for entry in entries:
                if left == 0:
                    raise OSError(errno.E2BIG, path)
                left -= 1
                names.append(entry.name)
        for name in sorted(names):
            relative = os.path.join(above, name)
            child = os.path.join(path, relative)
            if len(os.fsencode(child)) >= TOO_LONG_BYTES:
                raise OSError(errno.E2BIG, child)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                # Removed since.
                continue
            channel.send(ENTRY, 0, pack(os.fsencode(relative)) + describe(child, status))
            if depth > 1 and KINDS.get(status.st_mode & 0o170000) == b"DIRECTORY":
                try:
                    child_fd = open_folder(name, os.O_NOFOLLOW, fd)
                except (FileNotFoundError, NotADirectoryError, PermissionError):
                    # Replaced since, or not to be read.
                    continue
                try:
                    send(child_fd, relative, depth - 1)
                finally:
                    os.close(child_fd)

    send(open_folder(path), "", int(request["depth"][0]))
    channel.send(DONE)


def open_folder(path, flags=0, above=None):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=above)


def stat_file(channel, request, path):
    channel.send(DONE, 0, describe(path))


def remove_file(channel, request, path):
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif request["recursive"][0] == b"1":
        clear_tree(path)
        os.rmdir(path)
    else:
        os.rmdir(path)
    channel.send(DONE)


def clear_tree(path):
    """Removes what is in a folder. Goes into each by name, as there may be more of them one below the other
    than Python can recurse or a path can hold."""
    enter_folder(path)
    names, left = [], [clear_folder()]
    while left:
        if left[-1]:
            names.append(left[-1].pop())
            enter_folder(names[-1])
            left.append(clear_folder())
        else:
            left.pop()
            os.chdir("..")
            if names:
                os.rmdir(names.pop())


def enter_folder(name):
    fd = open_folder(name, os.O_NOFOLLOW)
    os.fchdir(fd)
    os.close(fd)


def clear_folder():
    """Removes all but folders from the working one, and returns those."""
    folders = []
    with os.scandir() as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name)
    return folders


def make_folder(channel, request, path):
    make_folders(path)
    channel.send(DONE, 0, describe(path))


def move_file(channel, request, path):
    path, target = os.path.normpath(path), os.path.normpath(place(request["to"][0]))
    status = os.lstat(path)
    # Told before folders are made for it.
    if (settled(target) + "/").startswith(settled(path) + "/"):
        raise Fault(b"INTO_ITSELF")
    make_folders(os.path.dirname(target))
    if request["replace"][0] == b"1":
        # Between two names of one file a rename does nothing and calls it success.
        if os.path.lexists(target) and os.path.samestat(status, os.lstat(target)):
            raise Fault(b"INTO_ITSELF")
        os.rename(path, target)
    else:
        rename_to_new(path, target)
    channel.send(DONE, 0, describe(target))


def settled(path):
    """Returns a path without links but for its last name, which a rename does not follow."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def rename_to_new(path, target):
    """Renames unless there is something at the target."""
    names = os.fsencode(path), os.fsencode(target)
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class WatchListener:
    """Sends the engine what a watch tells. Blocks while the engine does not read: the kernel's queue then fills
    up, and says so."""

    def __init__(self, channel, path):
        self.channel = channel
        self.path = path

    def fileno(self):
        return self.channel.fileno()

    def begin(self, status):
        self.channel.send(ENTRY, 0, describe(self.path, status))

    def change(self, kind, path, path_before):
        self.channel.send(CHANGE, 0, pack(kind, path, path_before or b""))

    def hung_up(self):
        raise Gone


def watch_folder(channel, request, path):
    program = load_program("sandkeeper_watch")
    recursive, limit = request["recursive"][0] == b"1", int(request["limit"][0])
    try:
        program.watch(path, recursive, limit, WatchListener(channel, path))
    except program.TooMany:
        raise Fault(b"TOO_MANY_WATCHES") from None
    channel.send(DONE)


FILE_CALLS = {
    b"write": write_file,
    b"read": read_file,
    b"list": list_folder,
    b"stat": stat_file,
    b"remove": remove_file,
    b"make": make_folder,
    b"move": move_file,
    b"unpack": unpack_archive,
    b"collect": collect_files,
    b"watch": watch_folder,
}


# --- Process 1 -------------------------------------------------------------------------------

PYTHON = b"python"
PORT = b"port"
DRIVERS = {
    PYTHON: Driver(become_python),
    b"javascript": Driver(become_node),
    b"typescript": Driver(become_node_for_typescript),
    b"java": Driver(become_java),
    b"r": Driver(become_r),
    b"bash": Driver(become_bash, encode_for_bash, finish_of_bash),
}


def told_paid_until():
    """The end of the paid time as the engine keeps it, by the host's clock."""
    with open(PAID_UNTIL_PATH, "rb", buffering=0) as note:
        return int(note.read(32)) / 1000


class Forwarder:
    """The process that carries connections to hosts, as process 1 sees it.

    Process 1 keeps the port, so that nothing else can take it when the process ends and is made anew.
    """

    def __init__(self, port):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(128)
        self.pid = None
        self.left = MAX_FORWARDERS
        self.start()

    def start(self):
        self.pid = None
        try:
            if self.left > 0:
                self.left -= 1
                self.pid = fork_child(self.carry)
                return
        except OSError as error:
            log("forwarder: %s" % error)
        # Who connects is to be told, and not to wait.
        self.listener.close()

    def carry(self):
        """Holds no right, as it reads what programs send; under the agent's user id they cannot reach it."""
        signal.set_wakeup_fd(-1)
        drop_capabilities()
        keep_only(self.listener.fileno())
        load_program("sandkeeper_egress").forward(self.listener, EGRESS_PATH)


class Agent:
    """Process 1: keeps the control connection, the paid time, and the children."""

    def __init__(self, paid_seconds, settings):
        self.paid_until = time.monotonic() + paid_seconds
        # How far the host's clock is ahead; on gVisor, whose clock begins with the sandbox, known by what was told.
        self.host_ahead = told_paid_until() - self.paid_until if settings.on_gvisor else 0.0
        self.settings = settings
        self.children = set()
        # By target: the pid of the context's supervisor and the socket that gives it its cells; the relay of
        # ports as well.
        self.contexts = {}
        # Made with the first Python context that is created.
        self.zygote = None
        # In a sandbox that may connect to hosts.
        self.forwarder = None
        self.control = None
        self.redial_at = 0.0
        self.redial_after = REDIAL_FIRST_SECONDS
        self.stop_at = None
        self.wakeup = None

    def loop(self):
        self.connect()
        prepare(self.settings)
        self.wakeup = Wakeup()
        if self.settings.proxy_port:
            self.forwarder = Forwarder(int(self.settings.proxy_port))
        while True:
            now = time.monotonic()
            if now >= self.paid_until:
                # It may have been renewed while everything here was frozen.
                self.hear_paid_until()
            if now >= self.paid_until:
                self.leave(b"paid-time-over")
            if self.stop_at is not None and (now >= self.stop_at or not self.user_processes()):
                self.leave(b"stopped")
            if self.control is None and now >= self.redial_at:
                self.connect()
            poller = select.poll()
            poller.register(self.wakeup.reader, select.POLLIN)
            if self.control is not None:
                blocked = select.POLLOUT if self.control.outgoing else 0
                poller.register(self.control.fileno(), select.POLLIN | blocked)
            spare_fd = -1 if self.zygote is None else self.zygote.news_fd()
            if spare_fd >= 0:
                poller.register(spare_fd, select.POLLIN)
            for fd, _ in poller.poll(self.timeout_millis(now)):
                if fd == self.wakeup.reader:
                    self.wakeup.clear()
                    self.reap()
                elif fd == spare_fd:
                    self.zygote.hear()
                else:
                    self.serve_control()

    def hear_paid_until(self):
        """Takes the end of the paid time as the engine keeps it, if it does."""
        try:
            self.paid_until = max(self.paid_until, told_paid_until() - self.host_ahead)
        except (OSError, ValueError):
            pass

    def timeout_millis(self, now):
        moment = self.paid_until
        if self.control is None:
            moment = min(moment, self.redial_at)
        if self.stop_at is not None:
            moment = min(moment, self.stop_at, now + 0.01)
        return millis_until(moment)

    def connect(self):
        try:
            self.control = dial(b"control")
            self.redial_after = REDIAL_FIRST_SECONDS
        except (OSError, Gone):
            self.lose_control()

    def lose_control(self):
        if self.control is not None:
            self.control.close()
        self.control = None
        self.redial_at = time.monotonic() + self.redial_after
        self.redial_after = min(2 * self.redial_after, REDIAL_MOST_SECONDS)

    def serve_control(self):
        try:
            self.control.flush()
            for kind, offset, payload in self.control.receive():
                if kind == OPEN:
                    self.open(*unpack(payload))
                elif kind == RENEW:
                    self.paid_until = time.monotonic() + offset / 1000
                elif kind in (INTERRUPT, RESTART, DELETE):
                    self.order(kind, *unpack(payload))
                elif kind == SETUP:
                    self.settings.environment = environment_of({"env": unpack(payload)}, {})
                elif kind == STOP:
                    send_signal(self.user_processes(), signal.SIGTERM)
                    self.stop_at = time.monotonic() + offset / 1000
        except Gone:
            self.lose_control()

    def open(self, name, target):
        """Starts what will dial for an execution or a transfer, or without a name be ready for one."""
        try:
            if len(self.children) >= self.settings.max_children:
                raise OSError(errno.EAGAIN, "too many executions")
            language = target.partition(b"/")[0]
            if language in DRIVERS or target == PORT:
                if target not in self.contexts:
                    self.start_context(target)
                self.contexts[target][1].send(name)
                return
            serve = supervise_commands if target == b"command" else serve_files
            self.children.add(fork_child(lambda: serve(name, self.settings)))
        except OSError as error:
            self.control.send(REFUSED, 0, pack(name, os.strerror(error.errno or 0).encode()))

    def start_context(self, target):
        """Makes the supervisor of a context, which is named by its language, a slash and more; or the relay of
        ports."""
        language, _, name = target.partition(b"/")
        if target == PORT:
            self.contexts[target] = self.fork_told(self.relay_ports)
        elif language == PYTHON:
            self.contexts[target] = self.take_spare() or self.fork_context(DRIVERS[language])
            # A sandbox whose code all runs in the default context is not to pay for a zygote.
            if self.zygote is not None or b"/" in name:
                self.tend_zygote()
        else:
            self.contexts[target] = self.fork_context(DRIVERS[language])
        self.children.add(self.contexts[target][0])

    def fork_context(self, driver):
        """Forks a context's supervisor; returns its pid and the socket that gives it its cells."""
        return self.fork_told(lambda fd: supervise_context(fd, driver, self.settings))

    def fork_told(self, serve):
        """Forks what is told names by a socket; returns its pid and our end of that."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        fd = theirs.detach()
        try:
            pid = fork_child(lambda: serve(fd))
        finally:
            os.close(fd)
        return pid, ours

    def relay_ports(self, names_fd):
        load_program("sandkeeper_ports").relay(sys.modules[__name__], names_fd)

    def take_spare(self):
        """Returns what `fork_context` does, of a supervisor that waits for a context, if one does."""
        return None if self.zygote is None else self.zygote.take()

    def tend_zygote(self):
        """Has the next Python context's supervisor made ahead, with the template's modules loaded."""
        try:
            if self.zygote is None:
                program, agent = load_program("sandkeeper_zygote"), sys.modules[__name__]
                self.zygote = program.Zygote(agent, DRIVERS[PYTHON], self.settings)
            self.zygote.tend()
        except OSError as error:
            log("zygote: %s" % error)

    def order(self, kind, target):
        """Has a context do what the engine says; one that has yet to begin has nothing to do."""
        if target in self.contexts:
            supervisor, names = self.contexts[target]
            send_signal([supervisor], INTERRUPTED if kind == INTERRUPT else RESTARTED)
            if kind == DELETE:
                names.close()
                del self.contexts[target]

    def reap(self):
        for pid, _, _ in reap():
            self.children.discard(pid)
            if self.zygote is not None:
                self.zygote.ended(pid)
            if self.forwarder is not None and pid == self.forwarder.pid:
                self.forwarder.start()
            for target, (supervisor, names) in list(self.contexts.items()):
                if pid == supervisor:
                    names.close()
                    del self.contexts[target]

    def user_processes(self):
        """The processes that are not the agent's own."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.stat("/proc/%s" % name).st_uid == USER_ID:
                    with open("/proc/%s/stat" % name, "rb", buffering=0) as stat:
                        if stat.read(1024).rpartition(b")")[2].split()[0] != b"Z":
                            found.append(int(name))
            except OSError:
                continue
        return found

    def leave(self, reason):
        """Ends the sandbox: with process 1 the kernel ends all others."""
        try:
            if self.control is not None:
                self.control.send(GOODBYE, 0, pack(reason))
        except Gone:
            pass
        os._exit(0)


if __name__ == "__main__":
    paid_millis, max_processes, memory_mib, imports, proxy_port, *interpreters = sys.argv[1:]
    names = imports.split(",") if imports else []
    settings = Settings(int(max_processes), int(memory_mib), names, proxy_port, *interpreters)
    Agent(int(paid_millis) / 1000, settings).loop()
