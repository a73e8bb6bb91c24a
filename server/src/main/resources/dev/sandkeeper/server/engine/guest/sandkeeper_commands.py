"""Commands: their supervisor, and the launcher that starts their programs.

A supervisor runs one command after the other, and is the reaper of all that they leave behind.
"""

import _signal as signal
import _socket as socket
import ctypes
import errno
import os
import resource
import select
import struct

from sandkeeper_executions import Conversation, Run, split_status
from sandkeeper_processes import (
    Wakeup, become_closed_user, become_reaper, children, enter, environment_of, fork_child,
    has_children, keep_only, libc, log, micros, reap, send_signal, signal_tree,
)
from sandkeeper_streams import (
    Input, TerminalInput, TerminalOutput, memory_file, open_terminal, output_pipe,
)
from sandkeeper_wire import (
    ERROR, FINISHED, HEADER, REQUEST, STARTED, STDERR, STDOUT, Channel, Gone, dial, frame,
    named, pack, receive_exactly, repack, unpack, unsent, wait_for,
)

DEFAULT_PATH = b"/bin:/usr/bin"
# Linux takes at most 128 KiB for one argument.
MAX_ARGUMENT_BYTES = 96 * 1024
# How often a command's launcher may be killed before it has started the command.
MAX_LAUNCHES = 3
# A supervisor with a larger request behind it is not kept: nor is what that left of its memory.
KEPT_REQUEST_BYTES = 256 * 1024
RLIMITS = 16
# On x86_64, and elsewhere.
SYS_WAITID = 247 if os.uname().machine == "x86_64" else 95

# By Python, and those that are often sent to all that there is, but meant for programs.
IGNORED_BY_LAUNCHERS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
)


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
