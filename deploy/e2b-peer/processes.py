"""The service process.Process: starts programs, and carries what goes in and comes out."""

import asyncio
import base64
import errno
import fcntl
import os
import signal
import struct
import subprocess
import termios

import users
from connect import CallError

CHUNK = 32 * 1024
PTY_CHUNK = 16 * 1024
# Messages a reader may be behind before the program has to wait.
BEHIND = 8
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEEPALIVE = {"keepalive": {}}
# Exits are known by the shell that lowers the program's priority, as the daemon's own does.
WRAPPER = 'exec /usr/bin/nice -n 0 "${@}"'
SIGNALS = {"SIGNAL_SIGKILL": signal.SIGKILL, "SIGNAL_SIGTERM": signal.SIGTERM}


class Subscriber:
    """One stream that shows a process; full, it holds the process back."""

    def __init__(self):
        self.events = asyncio.Queue(BEHIND)

    def drop(self):
        """Lets those go on who wait for room; nobody reads any more."""
        while not self.events.empty():
            self.events.get_nowait()


class Process:
    """One program, its ends of the pipes or the terminal, and who reads it."""

    def __init__(self, config, tag):
        self.config = config
        self.tag = tag
        self.pid = 0
        self.outputs = {}
        self.stdin = None
        self.pty = None
        self.writing = asyncio.Lock()
        self.subscribers = set()
        self.exit = asyncio.get_event_loop().create_future()
        self.muted = asyncio.Event()
        self.end = None

    def subscribe(self):
        subscriber = Subscriber()
        self.subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber):
        self.subscribers.discard(subscriber)
        subscriber.drop()

    async def publish(self, event):
        for subscriber in list(self.subscribers):
            if subscriber in self.subscribers:
                await subscriber.events.put(event)

    async def pump(self, descriptor, kind, size):
        """Shows what the program writes; without a reader it is gone."""
        while True:
            data = await read_some(descriptor, size, self.muted)
            if not data:
                return
            if self.subscribers:
                await self.publish({"data": {kind: base64.b64encode(data).decode()}})
            else:
                await asyncio.sleep(0)

    def mute(self):
        """From a signal on, what is still written is not read; a program that writes much then waits."""
        self.muted.set()

    async def write(self, kind, data):
        if kind == "pty":
            if self.pty is None:
                raise CallError("internal", "error writing to tty: tty not assigned to process")
        elif self.pty is not None:
            raise CallError("internal", "error writing to stdin: tty assigned to process")
        async with self.writing:
            descriptor = self.pty if kind == "pty" else self.stdin
            if descriptor is None:
                raise CallError("internal", "error writing to stdin: stdin not enabled or closed")
            try:
                await write_all(descriptor, data)
            except OSError as failed:
                raise CallError("internal", "error writing to process %d: %s" % (self.pid, failed.strerror)) from None

    async def close_stdin(self):
        if self.pty is not None:
            raise CallError("unknown", "error closing stdin: cannot close stdin for PTY process")
        async with self.writing:
            self._close_stdin()

    def _close_stdin(self):
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def resize(self, size):
        if self.pty is None:
            raise CallError("internal", "tty not assigned to process")
        set_size(self.pty, size)

    def release(self):
        """Closes this side of everything once the program has ended."""
        self._close_stdin()
        for descriptor in {*self.outputs.values(), self.pty} - {None}:
            os.close(descriptor)
        self.outputs = {}
        self.pty = None


class Processes:
    """All processes that were started by calls; the first process reaps every other too."""

    def __init__(self, environment, exit_memory):
        self.environment = environment
        self.exit_memory = exit_memory
        self.by_pid = {}
        asyncio.get_event_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self.by_pid.get(pid)
            if process is not None and not process.exit.done():
                process.exit.set_result(status)

    def select(self, selector):
        if "pid" in selector:
            found = self.by_pid.get(selector["pid"])
        else:
            named = [one for one in self.by_pid.values() if one.tag == selector["tag"]]
            running = [one for one in named if one.end is None]
            found = (running or named or [None])[-1]
        if found is None:
            raise CallError("not_found", "process with %s %s not found" % next(iter(selector.items())))
        return found

    def running(self, selector):
        process = self.select(selector)
        if process.end is not None:
            raise CallError("not_found", "process %d has ended" % process.pid)
        return process

    def list(self):
        return [{"config": one.config, "pid": one.pid, **({"tag": one.tag} if one.tag is not None else {})}
                for one in self.by_pid.values() if one.end is None]

    def start(self, request, user):
        """Starts a program; returns it before anything of it is shown."""
        config = request["process"]
        cwd = users.resolve(config.get("cwd", ""), user)
        if not os.path.isdir(cwd):
            raise CallError("invalid_argument", "cwd '%s' does not exist" % cwd)
        environment = {"PATH": PATH, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name,
                       **self.environment, **config.get("envs", {})}
        command = ["/bin/sh", "-c", WRAPPER, "--", config["cmd"], *config.get("args", [])]
        process = Process(config, request.get("tag"))
        settings = {"cwd": cwd, "env": environment, "user": user.pw_uid, "group": user.pw_gid,
                    "extra_groups": users.groups(user)}
        try:
            if "pty" in request:
                self._start_on_terminal(process, command, request["pty"]["size"], user, settings)
            else:
                self._start_on_pipes(process, command, request.get("stdin", True), settings)
        except (OSError, ValueError, subprocess.SubprocessError) as failed:
            process.release()
            raise CallError("invalid_argument", "error starting process '%s': %s" % (config["cmd"], failed)) from None
        self.by_pid[process.pid] = process
        return process

    def _start_on_pipes(self, process, command, stdin, settings):
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0, **settings)
        self._adopt(process, child)
        if child.stdin is not None:
            process.stdin = own(child.stdin)
        process.outputs = {"stdout": own(child.stdout), "stderr": own(child.stderr)}

    def _start_on_terminal(self, process, command, size, user, settings):
        process.pty, terminal = os.openpty()
        os.set_blocking(process.pty, False)
        set_size(process.pty, size)
        os.chown(terminal, user.pw_uid, -1)
        try:
            child = subprocess.Popen(
                command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **settings)
        finally:
            os.close(terminal)
        self._adopt(process, child)
        process.outputs = {"pty": process.pty}

    @staticmethod
    def _adopt(process, child):
        process.pid = child.pid
        child.returncode = 0  # it is reaped here, not by its object

    async def follow(self, process):
        """Sees a process through to its end, and keeps that for a while."""
        size = PTY_CHUNK if process.pty is not None else CHUNK
        await asyncio.gather(*[process.pump(one, kind, size) for kind, one in process.outputs.items()])
        process.end = end_event(await process.exit)
        process.release()
        asyncio.get_event_loop().call_later(self.exit_memory, self.by_pid.pop, process.pid, None)
        await process.publish({"end": process.end})

    def signal(self, process, name):
        process.mute()
        try:
            os.kill(process.pid, SIGNALS[name])
        except ProcessLookupError:
            raise CallError("not_found", "process %d has ended" % process.pid) from None

    def expire(self, process):
        """The deadline of a call is its program's too; what that started lives on."""
        if not process.exit.done():
            process.mute()
            os.kill(process.pid, signal.SIGKILL)


def own(stream):
    """Takes the descriptor from an object that would close it."""
    descriptor = os.dup(stream.fileno())
    stream.close()
    os.set_blocking(descriptor, False)
    return descriptor


def set_size(terminal, size):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["rows"] & 0xffff, size["cols"] & 0xffff, 0, 0))


def end_event(status):
    """How Go describes a state that waitpid returns; fields at their default are left out."""
    if os.WIFEXITED(status):
        code = os.WEXITSTATUS(status)
        end = {"exited": True, "status": "exit status %d" % code}
        if code:
            end.update(exitCode=code, error=end["status"])
        return end
    names = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGINT: "interrupt",
             signal.SIGHUP: "hangup", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted",
             signal.SIGPIPE: "broken pipe", signal.SIGQUIT: "quit", signal.SIGFPE: "floating point exception"}
    number = os.WTERMSIG(status)
    text = "signal: " + names.get(number, signal.strsignal(number).lower())
    if os.WCOREDUMP(status):
        text += " (core dumped)"
    return {"exitCode": -1, "status": text, "error": text}


async def ready(descriptor, writing, or_else=None):
    """Waits until a descriptor can be used, or until something else has happened."""
    loop = asyncio.get_event_loop()
    future = loop.create_future()

    def wake():
        if not future.done():
            future.set_result(None)

    (loop.add_writer if writing else loop.add_reader)(descriptor, wake)
    other = asyncio.ensure_future(or_else.wait()) if or_else is not None else None
    try:
        await asyncio.wait({future, other} if other else {future}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(descriptor)
        if other:
            other.cancel()


async def read_some(descriptor, size, or_else):
    """Returns what there is, or nothing at the end or when something else has happened."""
    while not or_else.is_set():
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            await ready(descriptor, False, or_else)
        except OSError as failed:
            if failed.errno == errno.EIO:  # the last program of a terminal has closed it
                return b""
            raise
    return b""


async def write_all(descriptor, data):
    while data:
        try:
            data = data[os.write(descriptor, data):]
        except BlockingIOError:
            await ready(descriptor, True)
