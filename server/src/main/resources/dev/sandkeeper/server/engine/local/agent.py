"""The guest agent: process 1 of a sandbox.

It dials the engine's socket, starts what the engine asks for, and ends the sandbox by itself when
its paid time passes unrenewed. It runs under a user id of its own, with the rights to become
another user and to signal, and nothing else; what it starts runs as the sandbox's user, without any
right. Standard library only, Python 3.9 or newer, run as `python3 -I -S agent.py PAID_MILLIS
MAX_PROCESSES MEMORY_MIB NODE`, the last empty when there is no Node.js.

Every connection carries frames: payload length (4 bytes), type (1), offset (8), payload, numbers in
network order. One connection is for control; each execution and each file transfer dials its own,
so that the kernel's socket buffers are the back-pressure and a slow reader holds up nobody else.

Processes: the agent forks a supervisor per command, which is the reaper of all that the command
leaves behind; a supervisor per language whose variables live on, which forks the interpreter; and a
worker per file transfer, which gives up the agent's rights before it touches a path.
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
# What keeps the variables of JavaScript code, and the descriptor it is spoken to over.
NODE_PROGRAM = "/opt/sandkeeper/context.js"
NODE_CHANNEL = 3
PROTOCOL = b"1"

USER_ID = 1000
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
# More than the agent ever opens.
MAX_DESCRIPTORS = 4096

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 4, 36, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522


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


def frame(kind, offset=0, payload=b""):
    return HEADER.pack(len(payload), kind, offset) + payload


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
            while self.outgoing and sent >= len(self.outgoing[0]):
                sent -= len(self.outgoing.pop(0))
            if sent:
                self.outgoing[0] = self.outgoing[0][sent:]

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
        deadline = time.monotonic() + seconds
        while not self.frames:
            if not wait_for(self.fileno(), select.POLLIN, deadline):
                raise Gone
            self.read_once()
        return self.frames.pop(0)

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
    # Without ambient rights every exec from here on ends with none.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def prctl(option, value=0):
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def drop_capabilities():
    """Gives up every capability: changing between two ordinary user ids keeps them otherwise."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def become_user(settings):
    """Turns this process into one of the sandbox's user, for good."""
    os.setsid()
    # The kernel is to take user processes first when memory runs out. The files of a process that
    # may not be dumped belong to root, also its own.
    prctl(PR_SET_DUMPABLE, 1)
    with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
        score.write(b"1000")
    # One more for the program in waiting.
    most = settings.max_processes + 1
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    os.setgroups([])
    os.setresgid(USER_ID, USER_ID, USER_ID)
    os.setresuid(USER_ID, USER_ID, USER_ID)
    drop_capabilities()
    os.umask(0o022)


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
        yield pid, status, usage


def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def keep_only(*kept):
    """Closes every descriptor but the standard ones and those named."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, MAX_DESCRIPTORS)


def descendants(root):
    """Returns the process ids below a process, parents first, by one pass over /proc."""
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


def signal_tree(number):
    """Signals all that this process has started, directly or not."""
    root = os.getpid()
    if number == signal.SIGKILL:
        # What is stopped cannot fork, so a fork bomb holds still before it is killed.
        stopped = set()
        while True:
            running = [pid for pid in descendants(root) if pid not in stopped]
            if not running:
                break
            send_signal(running, signal.SIGSTOP)
            stopped.update(running)
    send_signal(descendants(root), number)


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
    def register(self, poller):
        """Adds descriptors of its own."""

    def ready(self, fd):
        """One of its own descriptors is ready."""

    def children_ended(self):
        """Some child ended."""

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
            if not blocked:
                for output in self.outputs:
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
        for kind, offset, _ in frames:
            if kind == SIGNAL and self.over_at is None:
                signal_tree(offset)

    def end(self, reason):
        """Kills everything; the loop goes on until that has come to pass."""
        self.reason = reason
        signal_tree(signal.SIGKILL)

    def over(self):
        if self.over_at is None:
            self.over_at = time.monotonic()
            for output in self.outputs:
                output.note_due()

    def finish(self, exit_code, signal_number, cpu_micros, peak_bytes):
        reason = self.reason or ("completed" if signal_number is None else "signaled")
        values = (exit_code, signal_number, cpu_micros, peak_bytes)
        texts = [b"" if value is None else b"%d" % value for value in values]
        self.channel.send(FINISHED, 0, pack(reason.encode(), *texts))
        self.channel.flush_all()


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


class Program:
    """The process that will be a command's program: forked ahead of time, already as the user.

    The user can stop or kill it while it waits, so nothing waits for it without a deadline, and a
    killed one is replaced.
    """

    def __init__(self, settings):
        self.stdout, stdout_writer = output_pipe(STDOUT)
        self.stderr, stderr_writer = output_pipe(STDERR)
        stdin_reader, self.stdin_fd = os.pipe()
        status_reader, status_writer = os.pipe()
        orders_reader, orders_writer = os.pipe()
        self.status_fd, self.orders_fd = status_reader, orders_writer
        theirs = (stdin_reader, stdout_writer, stderr_writer, status_writer, orders_reader)

        def body():
            try:
                become_user(settings)
                for number, fd in enumerate((stdin_reader, stdout_writer, stderr_writer)):
                    os.dup2(fd, number)
                keep_only(status_writer, orders_reader)
                execute(named(read_whole(orders_reader)), settings.environment)
            except BaseException as error:
                text = getattr(error, "strerror", None) or str(error)
                os.write(status_writer, pack(type(error).__name__.encode(), text.encode()[:2000]))
                os._exit(127)

        try:
            self.pid = fork_child(body)
        finally:
            for fd in theirs:
                os.close(fd)

    def close(self):
        for fd in (self.stdin_fd, self.status_fd, self.orders_fd, self.stdout.fd, self.stderr.fd):
            os.close(fd)

    def order(self, orders, deadline):
        """Tells it what to become; false when it is no longer there."""
        send_signal([self.pid], signal.SIGCONT)
        os.set_blocking(self.orders_fd, False)
        view = memoryview(orders)
        try:
            while view:
                try:
                    view = view[os.write(self.orders_fd, view[:CHUNK_BYTES]) :]
                except BlockingIOError:
                    if not wait_for(self.orders_fd, select.POLLOUT, deadline):
                        break
        except BrokenPipeError:
            return False
        os.close(self.orders_fd)
        return True

    def problem(self, deadline):
        """Returns what kept it from starting, empty when it runs, within the deadline."""
        found = b""
        if wait_for(self.status_fd, select.POLLIN, deadline):
            found = os.read(self.status_fd, 4096)
        os.close(self.status_fd)
        return found


class CommandRun(Run):
    """A command: a process tree with pipes of its own."""

    def __init__(self, channel, request, program, wakeup):
        super().__init__(channel, request, [program.stdout, program.stderr], wakeup)
        self.stdin = memoryview(request.get("stdin", [b""])[0])
        self.stdin_fd = program.stdin_fd
        self.pid = program.pid
        self.cpu_micros = 0
        self.peak_kib = 0
        os.set_blocking(self.stdin_fd, False)

    def feed(self):
        """Writes what the program's input takes, and closes it at the end."""
        if self.stdin_fd < 0:
            return
        try:
            while self.stdin:
                self.stdin = self.stdin[os.write(self.stdin_fd, self.stdin[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.stdin = memoryview(b"")
        os.close(self.stdin_fd)
        self.stdin_fd = -1

    def register(self, poller):
        if self.stdin_fd >= 0:
            poller.register(self.stdin_fd, select.POLLOUT)

    def ready(self, fd):
        self.feed()

    def children_ended(self):
        for pid, status, usage in reap():
            self.cpu_micros += int((usage.ru_utime + usage.ru_stime) * 1e6)
            self.peak_kib = max(self.peak_kib, usage.ru_maxrss)
            if pid == self.pid:
                self.status = status
                self.over()

    def finish_with_usage(self):
        # Before it executes, a program's memory is a copy of the agent's: a peak below that is the
        # agent's own and says nothing of the program.
        floor_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = self.peak_kib * 1024 if self.peak_kib > floor_kib else None
        self.finish(*split_status(self.status), self.cpu_micros, peak)

    def linger(self):
        """Stays as the reaper of daemons that were left, and keeps their pipes from breaking."""
        self.channel.close()
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


def execute(request, base_environment):
    """In the child: becomes the program."""
    source_fd = -1
    if "argv" in request:
        argv = request["argv"]
    elif len(request["source"][0]) <= MAX_ARGUMENT_BYTES:
        argv = [b"bash", b"-c", request["source"][0]]
    else:
        source_fd = memory_file("script", request["source"][0])
        os.set_inheritable(source_fd, True)
        argv = [b"bash", b"/dev/fd/%d" % source_fd]
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    enter(request.get("cwd", [b""])[0])
    os.execvpe(argv[0], argv, environment_of(request, base_environment))


def refuse(channel, name, detail):
    """Tells that a program could not be started, and why."""
    channel.send(ERROR, 0, pack(name, detail, b""))
    channel.send(FINISHED, 0, pack(b"not-started", b"", b"", b"", b""))
    channel.flush_all()


def enter(folder):
    """Changes to a folder given relative to the home."""
    try:
        os.chdir(os.path.join(os.fsencode(HOME), folder))
    except OSError as error:
        text = "working directory: %s" % os.strerror(error.errno)
        raise type(error)(0, text) from None


def await_request(channel):
    kind, _, payload = channel.await_frame(REQUEST_SECONDS)
    if kind != REQUEST:
        raise Gone
    return named(payload)


def supervise_command(orders_fd, settings):
    """The life of a command's supervisor: forked ahead of time, it waits for its run's name."""
    keep_only(orders_fd)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wakeup = Wakeup()
    program = Program(settings)
    run_id = os.read(orders_fd, 256)
    os.close(orders_fd)
    if not run_id:
        return
    channel = dial(b"run", run_id)
    kind, _, payload = channel.await_frame(REQUEST_SECONDS)
    if kind != REQUEST:
        return
    request = named(payload)
    orders = b"".join(
        pack(name.encode(), value)
        for name, values in request.items()
        if name != "stdin"
        for value in values
    )
    deadline = time.monotonic() + int(request["deadline"][0]) / 1000
    if not program.order(orders, deadline):
        program.close()
        program = Program(settings)
        program.order(orders, deadline)
    run = CommandRun(channel, request, program, wakeup)
    problem = program.problem(deadline)
    if problem:
        name, detail = unpack(problem)
        argv = request.get("argv", [b"bash"])
        refuse(channel, name, argv[0][:1024] + b": " + detail)
        return
    channel.send(STARTED, run.pid)
    try:
        run.feed()
        run.loop()
        run.finish_with_usage()
    except Gone:
        signal_tree(signal.SIGKILL)
        return
    run.linger()


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

    def close(self):
        self.channel.close()
        for output in (self.stdout, self.stderr):
            if output.fd >= 0:
                os.close(output.fd)

    def cpu_micros(self):
        """Processor time of the process itself, exact, and of its ended children, in ticks."""
        own = time.clock_gettime(~self.pid << 3 | 2)  # MAKE_PROCESS_CPUCLOCK, CPUCLOCK_SCHED.
        with open("/proc/%d/stat" % self.pid, "rb", buffering=0) as stat:
            fields = stat.read(1024).rpartition(b")")[2].split()
        ticks = int(fields[13]) + int(fields[14])
        return int(own * 1e6) + ticks * 1000000 // os.sysconf("SC_CLK_TCK")

    def peak_bytes(self):
        with open("/proc/%d/status" % self.pid, "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None


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

    def last_words(self):
        """Reads what an interpreter said before it ended, which may be seen after its end."""
        channel = self.interpreter.channel
        for _ in range(2 * MAX_RESULT_BYTES // CHUNK_BYTES + 1):
            if channel.fileno() < 0 or not wait_for(channel.fileno(), select.POLLIN, 0):
                return
            self.ready(channel.fileno())

    def children_ended(self):
        for pid, status, usage in reap():
            if pid == self.interpreter.pid:
                self.last_words()
                self.status = status
                total = int((usage.ru_utime + usage.ru_stime) * 1e6)
                self.cpu_micros = max(0, total - self.cpu_before)
                self.peak = usage.ru_maxrss * 1024
                self.over()

    def complete(self):
        if self.status is not None and self.exit_code is None:
            self.finish(*split_status(self.status), self.cpu_micros, self.peak)
        else:
            self.finish(self.exit_code, None, self.cpu_micros, self.peak)


class Context:
    """The supervisor of a context: takes cells one after the other."""

    def __init__(self, requests_fd, become):
        self.requests = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=requests_fd
        )
        self.become = become
        self.wakeup = Wakeup()
        self.interpreter = None

    def loop(self):
        while True:
            poller = select.poll()
            poller.register(self.requests.fileno(), select.POLLIN)
            poller.register(self.wakeup.reader, select.POLLIN)
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
            if self.requests.fileno() in ready:
                run_id = self.requests.recv(256)
                if not run_id:
                    return
                try:
                    self.run(run_id)
                except OSError as error:
                    log("context: %s" % error)

    def forget(self):
        """Ends what is left of an interpreter that is gone; the next cell gets a new one."""
        signal_tree(signal.SIGKILL)
        self.interpreter.close()
        self.interpreter = None

    def run(self, run_id):
        try:
            channel = dial(b"run", run_id)
        except OSError:
            return
        try:
            kind, _, payload = channel.await_frame(REQUEST_SECONDS)
            if kind != REQUEST:
                return
            request = named(payload)
            if self.interpreter is None:
                try:
                    self.interpreter = Interpreter(self.become)
                except OSError as error:
                    refuse(channel, type(error).__name__.encode(), error.strerror.encode())
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
            if cell.status is not None or self.interpreter.channel.fileno() < 0:
                self.forget()
        except Gone:
            pass
        finally:
            channel.close()

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


def supervise_context(requests_fd, become):
    keep_only(requests_fd)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    Context(requests_fd, become).loop()


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
    become_user(settings)
    # Unlike other processes of the user this one holds a connection to the engine.
    prctl(PR_SET_DUMPABLE, 0)
    request = await_request(channel)
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


class Agent:
    """Process 1: keeps the control connection, the paid time, and the children."""

    def __init__(self, paid_seconds, settings):
        self.paid_until = time.monotonic() + paid_seconds
        self.settings = settings
        self.children = set()
        # By language: the pid of the context's supervisor and the socket that gives it its cells.
        self.contexts = {}
        # The pid of the supervisor in waiting and the pipe that gives it its name.
        self.standby = None
        self.set_up = False
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
            self.keep_standby()

    def keep_standby(self):
        """Forks the next command's supervisor while nobody waits for it."""
        if self.set_up and self.standby is None and len(self.children) < MAX_CHILDREN:
            try:
                self.fork_standby()
            except OSError as error:
                # The next command tries again, and tells its caller.
                log("standby: %s" % error)

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
                    self.set_up = True
                elif kind == STOP:
                    send_signal(self.user_processes(), signal.SIGTERM)
                    self.stop_at = time.monotonic() + offset / 1000
        except Gone:
            self.lose_control()

    def open(self, name, target):
        """Starts what will dial for an execution or a transfer."""
        try:
            if len(self.children) >= MAX_CHILDREN:
                raise OSError(errno.EAGAIN, "too many executions")
            if target in CONTEXTS:
                if target not in self.contexts:
                    self.start_context(target)
                self.contexts[target][1].send(name)
            elif target == b"command":
                self.start_command(name)
            else:
                body = lambda: serve_files(name, self.settings)
                self.children.add(fork_child(body))
        except OSError as error:
            self.control.send(REFUSED, 0, pack(name, os.strerror(error.errno or 0).encode()))

    def start_command(self, name):
        """Gives a command to the supervisor in waiting, or to a new one if that was killed."""
        for _ in range(2):
            if self.standby is None:
                self.fork_standby()
            pid, orders_fd = self.standby
            self.standby = None
            try:
                os.write(orders_fd, name)
                self.children.add(pid)
                return
            except BrokenPipeError:
                continue
            finally:
                os.close(orders_fd)

    def fork_standby(self):
        reader, writer = os.pipe()
        body = lambda: supervise_command(reader, self.settings)
        try:
            self.standby = fork_child(body), writer
        except OSError:
            os.close(writer)
            raise
        finally:
            os.close(reader)

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
            if self.standby is not None and pid == self.standby[0]:
                os.close(self.standby[1])
                self.standby = None
            for language, (supervisor, requests) in list(self.contexts.items()):
                if pid == supervisor:
                    requests.close()
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
