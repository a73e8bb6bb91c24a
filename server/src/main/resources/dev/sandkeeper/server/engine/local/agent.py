"""The guest agent: process 1 of a sandbox.

It dials the engine's socket, starts what the engine asks for, and ends the sandbox by itself when
its paid time passes unrenewed. It runs under a user id of its own, with the rights to become
another user and to signal, and nothing else; what it starts runs as the sandbox's user, without any
right. Standard library only, Python 3.9 or newer, run as `python3 -I -S agent.py PAID_MILLIS
MAX_PROCESSES MEMORY_MIB NODE`, the last empty when there is no Node.js.

Every connection carries frames: payload length (4 bytes), type (1), offset (8), payload, numbers in
network order. One connection is for control; each execution and each file transfer has one to
itself, so that the kernel's socket buffers are the back-pressure and a slow reader holds up nobody
else. A supervisor keeps its connection for the executions that follow.

Processes: the agent forks supervisors of commands, each the reaper of all that its command leaves
behind, which fork a launcher that starts the programs; a supervisor per language whose variables live
on, which forks the interpreter; and a worker per file transfer, which gives up the agent's rights
before it touches a path.
"""

# The C modules behind `socket` and `signal`: the wrappers cost 12 ms of start-up, more than the rest.
import _signal as signal
import _socket as socket
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
# What keeps the variables of JavaScript code, and the descriptor it is spoken to over.
NODE_PROGRAM = "/opt/sandkeeper/context.js"
NODE_CHANNEL = 3
PROTOCOL = b"1"

USER_ID = 1000
DEFAULT_PATH = b"/bin:/usr/bin"
HOME = "/home/user"

HEADER = struct.Struct("!IBQ")
FIELD = struct.Struct("!I")

# From the agent.
HELLO, STARTED, STDOUT, STDERR, RESULT, ERROR, FINISHED = 1, 2, 3, 4, 5, 6, 7
DATA, DONE, FAULT, ENTRY, REFUSED, GOODBYE = 8, 9, 10, 11, 12, 13
# From the engine.
OPEN, RENEW, STOP, SETUP, REQUEST, SIGNAL, CHUNK, COMMIT = 32, 33, 34, 35, 36, 37, 38, 39

CHUNK_BYTES = 256 * 1024
# More than any source or stdin the engine lets through.
MAX_FRAME_BYTES = 96 * 1024 * 1024
# Linux takes at most 128 KiB for one argument.
MAX_ARGUMENT_BYTES = 96 * 1024
MAX_RESULT_BYTES = 1024 * 1024
# A character becomes six bytes at most.
MAX_RESULT_CHARS = 128 * 1024
MAX_TRACEBACK_CHARS = 32 * 1024
MAX_ERROR_CHARS = 8 * 1024
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

# How long output is awaited once a command has exited but something still holds its pipes.
DRAIN_SECONDS = 0.05
# How long a cell may take to obey an interrupt when the engine went away, before it is killed.
INTERRUPT_SECONDS = 2.0
INTERRUPT_AGAIN_MILLIS = 100
REDIAL_FIRST_SECONDS = 0.02
REDIAL_MOST_SECONDS = 0.5
REQUEST_SECONDS = 30.0
# The longest pause in an upload; a broken one is given up after.
TRANSFER_SECONDS = 120.0
LOG_BYTES = 64 * 1024
RLIMITS = 16
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

    def __init__(self, max_processes, memory_mib, node):
        self.max_processes = max_processes
        self.memory_mib = memory_mib
        self.node = node
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
        self.outgoing.append(memoryview(HEADER.pack(len(payload), kind, offset)))
        if payload:
            self.outgoing.append(memoryview(payload))
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

    def flush_all(self):
        """Waits until everything queued is sent."""
        while self.outgoing:
            wait_for(self.fileno(), select.POLLOUT, None)
            self.flush()

    def receive(self):
        """Returns the frames that are complete by now, reading once."""
        self.read_once()
        return self.take()

    def take(self):
        """Returns the frames that were read before and nobody took."""
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

    def await_frame(self, seconds):
        """Returns the next frame; for the parts of a conversation where nothing else happens."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.frames:
            if not wait_for(self.fileno(), select.POLLIN, deadline):
                raise Gone
            self.read_once()
        return self.frames.pop(0)

    def poll_request(self):
        """Reads once; returns the payload of the next request if it is there whole.

        What came before it is left of an execution that is over, such as a signal.
        """
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


def prepare():
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
    # Without ambient and inheritable rights every exec from here on ends with none.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    set_capabilities(CAPABILITIES, CAPABILITIES, 0)


def prctl(option, value=0):
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


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
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def clear(self):
        try:
            os.read(self.reader, 4096)
        except BlockingIOError:
            pass


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


class Run:
    """What the supervisors of a command and of a cell have in common: one loop over descriptors."""

    def __init__(self, channel, request, outputs, wakeup):
        self.channel = channel
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
        self.obey(self.channel.take())
        while not (self.over_at is not None and self.is_drained()):
            poller = select.poll()
            by_fd = {}
            blocked = bool(self.channel.outgoing)
            poller.register(
                self.channel.fileno(), select.POLLIN | (select.POLLOUT if blocked else 0)
            )
            poller.register(self.wakeup.reader, select.POLLIN)
            news_fd = self.news_fd()
            if news_fd >= 0:
                poller.register(news_fd, select.POLLIN)
            if not blocked:
                for output in self.outputs if self.has_begun() else ():
                    if output.fd >= 0:
                        by_fd[output.fd] = output
                        poller.register(output.fd, select.POLLIN)
                self.register(poller)
            for fd, events in poller.poll(self.timeout_millis()):
                if fd == self.channel.fileno():
                    if events & select.POLLOUT:
                        self.channel.flush()
                    if events & ~select.POLLOUT:
                        self.obey(self.channel.receive())
                elif fd == self.wakeup.reader:
                    self.wakeup.clear()
                    self.children_ended()
                elif fd == news_fd:
                    self.hear()
                elif self.channel.outgoing:
                    # A stream before this one filled the socket.
                    break
                elif fd in by_fd:
                    self.forward(by_fd[fd])
                else:
                    self.ready(fd)
            if self.over_at is None and time.monotonic() >= self.deadline:
                self.end("deadline")
                self.deadline = float("inf")

    def timeout_millis(self):
        if self.over_at is not None and self.channel.outgoing:
            return None
        if self.over_at is not None:
            moment = self.over_at + DRAIN_SECONDS
        elif self.deadline == float("inf"):
            return None
        else:
            moment = self.deadline
        return max(0.0, moment - time.monotonic()) * 1000 + 1

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
            self.channel.send(output.kind, output.offset, data)
            output.offset += len(data)
        return data

    def obey(self, frames):
        # As with the kernel, the same one many times at once is one.
        for number in dict.fromkeys(number for kind, number, _ in frames if kind == SIGNAL):
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
        finish(self.channel, stays, reason.encode(), *texts)


def finish(channel, stays, reason, exit_code=b"", signal_number=b"", cpu=b"", peak=b""):
    """Tells that an execution is over, and whether the connection stays for a next one."""
    channel.send(FINISHED, int(stays), pack(reason, exit_code, signal_number, cpu, peak))
    channel.flush_all()


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
        stdout, stdout_writer = output_pipe(STDOUT)
        stderr, stderr_writer = output_pipe(STDERR)
        stdin_reader, self.stdin_fd = os.pipe()
        super().__init__(channel, request, [stdout, stderr], wakeup)
        self.theirs = (stdin_reader, stdout_writer, stderr_writer)
        self.program = request.get("argv", [b"bash"])[0]
        self.stdin = memoryview(request.pop("stdin", [b""])[0])
        # What the launcher is told: all but the input.
        self.orders = repack(request) if self.stdin else payload
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
        os.set_blocking(self.stdin_fd, False)

    def start(self):
        """Has the launcher start the program, with a new one for each that is killed before it could."""
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
        self.channel.send(STARTED, pid)
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
        self.channel.send(ERROR, 0, pack(name, self.program[:1024] + b": " + detail, b""))
        self.over()

    def feed(self):
        """Writes what the program's input takes, and closes it at the end."""
        try:
            while self.stdin:
                self.stdin = self.stdin[os.write(self.stdin_fd, self.stdin[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.stdin = memoryview(b"")
        os.close(self.stdin_fd)
        self.stdin_fd = -1

    def signal(self, number):
        if self.pid is not None:
            signal_tree(number, self.launcher.pid)
        elif number not in self.early:
            self.early.append(number)

    def has_begun(self):
        return self.pid is not None or self.over_at is not None

    def register(self, poller):
        if self.stdin_fd >= 0:
            poller.register(self.stdin_fd, select.POLLOUT)

    def ready(self, fd):
        self.feed()

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

    def complete(self):
        """Tells the end; returns whether there is nothing left that needs this supervisor."""
        if self.launcher_leaves:
            self.launcher.end()
            self.children_ended()
        left = children() - {self.launcher.pid}
        stays = not (left or self.launcher_leaves or self.is_large)
        if self.status is None:
            finish(self.channel, stays, self.reason.encode())
            return stays
        peak = self.peak_kib * 1024 if self.peak_kib > self.floor_kib else None
        self.finish(stays, *split_status(self.status), self.cpu_micros, peak)
        return stays

    def close(self):
        self.close_theirs()
        for fd in (self.stdin_fd, *(output.fd for output in self.outputs)):
            if fd >= 0:
                os.close(fd)

    def linger(self):
        """Stays as the reaper of daemons that were left, and keeps their pipes from breaking."""
        self.channel.close()
        self.launcher.end()
        while has_children():
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
        if stays:
            run.close()
        else:
            run.linger()
        return stays


def supervise_commands(name, settings):
    """The life of a supervisor of commands; its first one is known by a name, or yet to come."""
    keep_only()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    channel = dial(b"run", name) if name else dial(b"ready", b"command")
    CommandSupervisor(channel, settings).loop()


# --- Contexts --------------------------------------------------------------------------------


class Interpreter:
    """The process that keeps a context's variables, as its supervisor sees it.

    It gets a REQUEST per cell on its channel, and answers with RESULT or ERROR and then FINISHED,
    whose number is the exit code. User code runs in it: nothing it says is to be trusted.
    """

    def __init__(self, become):
        self.stdout, stdout_writer = output_pipe(STDOUT)
        self.stderr, stderr_writer = output_pipe(STDERR)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel = Channel(ours, MAX_RESULT_BYTES)
        channel_fd = theirs.detach()

        def body():
            try:
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(stdout_writer, 1)
                os.dup2(stderr_writer, 2)
                keep_only(channel_fd)
                become(channel_fd)
            except OSError as error:
                fields = pack(type(error).__name__.encode(), str(error).encode()[:2000], b"")
                os.write(channel_fd, frame(ERROR, 0, fields) + frame(FINISHED, NOT_FOUND_CODE))

        try:
            self.pid = fork_child(body)
        finally:
            for fd in (channel_fd, stdout_writer, stderr_writer):
                os.close(fd)
        # Opened once, as they are read twice per cell.
        self.stat_fd = os.open("/proc/%d/stat" % self.pid, os.O_RDONLY)
        self.status_fd = os.open("/proc/%d/status" % self.pid, os.O_RDONLY)

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
        return int(fields[0]) * 1024 if fields else None


class CellRun(Run):
    """One piece of code in the context."""

    def __init__(self, channel, request, interpreter, wakeup):
        super().__init__(channel, request, [interpreter.stdout, interpreter.stderr], wakeup)
        self.interpreter = interpreter
        self.replied = 0
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
                if self.replied > 2 * MAX_RESULT_BYTES:
                    self.give_up()
                    return
                # What was printed before goes before.
                for output in self.outputs:
                    while not self.channel.outgoing and self.forward(output):
                        pass
                self.channel.send(kind, 0, payload)
            elif kind == FINISHED:
                self.exit_code = offset & 0xFF
                self.measure()
                self.over()

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
                self.peak = usage.ru_maxrss * 1024
                self.over()

    def complete(self):
        if self.status is not None and self.exit_code is None:
            self.finish(True, *split_status(self.status), self.cpu_micros, self.peak)
        else:
            self.finish(True, self.exit_code, None, self.cpu_micros, self.peak)


class Context:
    """The supervisor of a context: takes cells one after the other.

    A cell comes by a name to dial with, or over a connection that an earlier one left. The engine
    closes what it needs no more.
    """

    def __init__(self, names_fd, become):
        self.names = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=names_fd)
        self.become = become
        self.wakeup = Wakeup()
        self.interpreter = None
        self.channels = []

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
            ready = [fd for fd, _ in poller.poll()]
            if self.wakeup.reader in ready:
                self.wakeup.clear()
                for pid, _, _ in reap():
                    if self.interpreter is not None and pid == self.interpreter.pid:
                        self.forget()
                        outputs = []
            for output in outputs:
                # Threads and children that write between cells have nobody to read it.
                if output.fd in ready:
                    output.read()
            for channel in list(self.channels):
                if channel.fileno() in ready:
                    self.serve(channel, channel.poll_request)
            if self.names.fileno() in ready:
                name = self.names.recv(256)
                if not name:
                    return
                self.dial(name)

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
            if payload is not None:
                self.run(channel, payload)
        except Gone:
            channel.close()
            self.channels.remove(channel)

    def run(self, channel, payload):
        request = named(payload)
        if self.interpreter is None:
            try:
                self.interpreter = Interpreter(self.become)
            except OSError as error:
                texts = type(error).__name__.encode(), error.strerror.encode()
                channel.send(ERROR, 0, pack(*texts, b""))
                finish(channel, True, b"not-started")
                return
        cell = CellRun(channel, request, self.interpreter, self.wakeup)
        channel.send(STARTED, self.interpreter.pid)
        try:
            # As it came: the interpreter takes the source from it.
            self.interpreter.channel.send(REQUEST, 0, payload)
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
        """The engine went away in the middle of a cell: ends the cell, and keeps the variables."""
        if cell.over_at is not None:
            return
        deadline = time.monotonic() + INTERRUPT_SECONDS
        cell.channel = Nowhere()
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
    """Stands in for a connection that is gone."""

    outgoing = ()

    def send(self, kind, offset=0, payload=b""):
        """Drops the frame."""


def supervise_context(names_fd, become):
    keep_only(names_fd)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    Context(names_fd, become).loop()


def become_node(channel_fd, settings):
    """Turns this process into the one that keeps the variables of JavaScript code."""
    become_user(settings)
    os.chdir(HOME)
    os.dup2(channel_fd, NODE_CHANNEL)
    os.set_inheritable(NODE_CHANNEL, True)
    # Otherwise it takes the machine's memory for its own, and tidies up too late.
    heap = "--max-old-space-size=%d" % settings.memory_mib
    os.execve(settings.node, ["node", heap, NODE_PROGRAM], settings.environment)


# --- Inside the Python interpreter -----------------------------------------------------------


def become_python(channel_fd, settings):
    """The life of the Python context's process: as the user, cell after cell in one namespace."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_user(settings)
    drop_capabilities()
    # Its own files in /proc are the user's again; the agent's rights are gone by now.
    prctl(PR_SET_DUMPABLE, 1)
    gc.enable()
    os.chdir(HOME)
    os.environb.clear()
    os.environb.update(settings.environment)
    namespace = prepare_interpreter()
    # Late: these are for cells only, and take as long to load as all the rest.
    import ast
    import linecache
    import traceback

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=channel_fd)
    number = 0
    while True:
        size, _, _ = HEADER.unpack(receive_exactly(sock, HEADER.size))
        request = named(receive_exactly(sock, size))
        number += 1
        stdin_fd = memory_file("stdin", request.get("stdin", [b""])[0])
        os.dup2(stdin_fd, 0)
        os.close(stdin_fd)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        cell = Cell(number, request, namespace, (ast, linecache, traceback))
        code = cell.run()
        if os.getpid() != cell.pid:
            # The code forked, and the child came to the end of it.
            os._exit(code & 0xFF)
        for kind, payload in cell.replies:
            sock.sendall(frame(kind, 0, payload))
        sock.sendall(frame(FINISHED, code & 0xFF))


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
    version = "python%d.%d" % sys.version_info[:2]
    folders = site.getsitepackages() + ["%s/.local/lib/%s/site-packages" % (HOME, version)]
    sys.path[:] = [""] + [path for path in sys.path if path] + folders
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

    def __init__(self, number, request, namespace, modules):
        self.pid = os.getpid()
        self.source = request["source"][0].decode("utf-8", "replace")
        self.cwd = request.get("cwd", [b""])[0]
        self.environment = environment_of(request, {})
        self.namespace = namespace
        self.name = "<cell %d>" % number
        self.ast, self.linecache, self.traceback = modules
        self.replies = []

    def run(self):
        """Runs it; returns the exit code, leaving result and error in `replies`."""
        kept_environment = dict(os.environb) if self.environment else None
        kept_cwd = None
        code = 1
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.environb.update(self.environment)
                if self.cwd:
                    kept_cwd = os.getcwd()
                    enter(self.cwd)
                code = self.evaluate()
            finally:
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
        tree = self.ast.parse(self.source, self.name)
        last = None
        if tree.body and isinstance(tree.body[-1], self.ast.Expr):
            last = self.ast.Expression(tree.body.pop().value)
        exec(compile(tree, self.name, "exec"), self.namespace)
        if last is not None:
            value = eval(compile(last, self.name, "eval"), self.namespace)
            if value is not None:
                self.namespace["_"] = value
                text = cut(repr(value), MAX_RESULT_CHARS)
                encoded = text.encode("utf-8", "backslashreplace")
                self.replies.append((RESULT, pack(b"text/plain", encoded)))
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
        self.replies.append((ERROR, payload))


# --- Files -----------------------------------------------------------------------------------

FAULTS = {
    errno.ENOENT: b"NOT_FOUND",
    errno.ENOTDIR: b"NOT_A_DIRECTORY",
    errno.EEXIST: b"NOT_A_DIRECTORY",
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


def serve_files(transfer_id, settings):
    """The life of a transfer's worker: one request, with the user's rights."""
    keep_only()
    channel = dial(b"file", transfer_id)
    # Unlike other processes of the user this one holds a connection to the engine.
    become_closed_user(settings)
    request = named(channel.await_request(REQUEST_SECONDS))
    channel.sock.setblocking(True)
    try:
        path = request["path"][0].decode("utf-8", "surrogateescape")
        if not path or "\0" in path or ".." in path.split("/"):
            raise OSError(errno.ENAMETOOLONG, path)
        FILE_CALLS[request["call"][0]](channel, request, os.path.join(HOME, path))
    except OSError as error:
        channel.send(FAULT, 0, pack(FAULTS.get(error.errno, b"OTHER")))


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


def write_file(channel, request, path):
    if os.path.isdir(path):
        raise OSError(errno.EISDIR, path)
    most = int(request["most"][0])
    folder, name = os.path.split(path)
    if not name:
        raise OSError(errno.EISDIR, path)
    os.makedirs(folder, exist_ok=True)
    mode = 0o644
    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:
        pass
    part = os.path.join(folder, ".sandkeeper-%d-%d.part" % (os.getpid(), time.monotonic_ns()))
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    fault = None
    try:
        size = 0
        while True:
            kind, _, payload = channel.await_frame(TRANSFER_SECONDS)
            if kind == COMMIT:
                break
            if kind != CHUNK:
                raise Gone
            size += len(payload)
            if fault is None:
                # After a fault the rest is read and dropped: the engine is still sending.
                try:
                    if size > most:
                        raise OSError(errno.EFBIG, path)
                    view = memoryview(payload)
                    while view:
                        view = view[os.write(fd, view) :]
                except OSError as error:
                    fault = error
        if fault is not None:
            raise fault
        os.fchmod(fd, mode)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    finally:
        os.close(fd)
    channel.send(DONE, 0, describe(path))


def read_file(channel, request, path):
    # A pipe must not block the open.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    status = os.fstat(fd)
    kind = KINDS.get(status.st_mode & 0o170000)
    if kind == b"DIRECTORY":
        raise OSError(errno.EISDIR, path)
    if kind != b"FILE":
        raise OSError(errno.EINVAL, path)
    left = int(request["most"][0])
    os.lseek(fd, int(request["offset"][0]), os.SEEK_SET)
    while left > 0:
        data = os.read(fd, min(left, CHUNK_BYTES))
        if not data:
            break
        channel.send(DATA, 0, data)
        left -= len(data)
    channel.send(DONE)


def list_folder(channel, request, path):
    limit = int(request["limit"][0])
    names = []
    with os.scandir(path) as entries:
        for entry in entries:
            if len(names) == limit:
                raise OSError(errno.E2BIG, path)
            names.append(entry.name)
    for name in sorted(names):
        child = os.path.join(path, name)
        try:
            channel.send(ENTRY, 0, describe(child))
        except FileNotFoundError:
            # Removed since.
            continue
    channel.send(DONE)


def stat_file(channel, request, path):
    channel.send(DONE, 0, describe(path))


def remove_file(channel, request, path):
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif request["recursive"][0] == b"1":
        for folder, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            for name in folders:
                child = os.path.join(folder, name)
                if os.path.islink(child):
                    os.unlink(child)
                else:
                    os.rmdir(child)
        os.rmdir(path)
    else:
        os.rmdir(path)
    channel.send(DONE)


FILE_CALLS = {
    b"write": write_file,
    b"read": read_file,
    b"list": list_folder,
    b"stat": stat_file,
    b"remove": remove_file,
}


# --- Process 1 -------------------------------------------------------------------------------

CONTEXTS = {b"python": become_python, b"javascript": become_node}


def told_paid_until():
    """The end of the paid time as the engine keeps it, 0 when it does not."""
    try:
        with open(PAID_UNTIL_PATH, "rb", buffering=0) as note:
            return int(note.read(32)) / 1000
    except (OSError, ValueError):
        return 0.0


class Agent:
    """Process 1: keeps the control connection, the paid time, and the children."""

    def __init__(self, paid_seconds, settings):
        self.paid_until = time.monotonic() + paid_seconds
        self.settings = settings
        self.children = set()
        # By language: the pid of the context's supervisor and the socket that gives it its cells.
        self.contexts = {}
        self.control = None
        self.redial_at = 0.0
        self.redial_after = REDIAL_FIRST_SECONDS
        self.stop_at = None
        self.wakeup = None

    def loop(self):
        self.connect()
        prepare()
        self.wakeup = Wakeup()
        while True:
            now = time.monotonic()
            if now >= self.paid_until:
                # It may have been renewed while everything here was frozen.
                self.paid_until = max(self.paid_until, told_paid_until())
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
            for fd, _ in poller.poll(self.timeout_millis(now)):
                if fd == self.wakeup.reader:
                    self.wakeup.clear()
                    self.reap()
                else:
                    self.serve_control()

    def timeout_millis(self, now):
        moment = self.paid_until
        if self.control is None:
            moment = min(moment, self.redial_at)
        if self.stop_at is not None:
            moment = min(moment, self.stop_at, now + 0.01)
        return max(0.0, moment - now) * 1000 + 1

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
            if len(self.children) >= MAX_CHILDREN:
                raise OSError(errno.EAGAIN, "too many executions")
            if target in CONTEXTS:
                if target not in self.contexts:
                    self.start_context(target)
                self.contexts[target][1].send(name)
                return
            serve = supervise_commands if target == b"command" else serve_files
            self.children.add(fork_child(lambda: serve(name, self.settings)))
        except OSError as error:
            self.control.send(REFUSED, 0, pack(name, os.strerror(error.errno or 0).encode()))

    def start_context(self, language):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        fd = theirs.detach()
        become = lambda channel_fd: CONTEXTS[language](channel_fd, self.settings)
        try:
            pid = fork_child(lambda: supervise_context(fd, become))
        finally:
            os.close(fd)
        self.children.add(pid)
        self.contexts[language] = pid, ours

    def reap(self):
        for pid, _, _ in reap():
            self.children.discard(pid)
            for language, (supervisor, names) in list(self.contexts.items()):
                if pid == supervisor:
                    names.close()
                    del self.contexts[language]

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
    paid_millis, max_processes, memory_mib, node = sys.argv[1:]
    Agent(int(paid_millis) / 1000, Settings(int(max_processes), int(memory_mib), node)).loop()
