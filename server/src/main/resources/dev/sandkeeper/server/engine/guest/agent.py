"""The guest agent: process 1 of a sandbox.

It dials the engine's socket, starts what the engine asks for, and ends the sandbox by itself when
its paid time passes unrenewed. It runs under a user id of its own, with the rights to become
another user and to signal, and nothing else; what it starts runs as the sandbox's user, without any
right. Standard library only, Python 3.9 or newer, run as `python3 -I -S agent.py PAID_MILLIS
MAX_PROCESSES MEMORY_MIB IMPORTS PROXY_PORT KERNEL NODE TYPESCRIPT JAVA R`: IMPORTS are the modules to load ahead
for Python contexts, with commas between them; PROXY_PORT is where programs find the way out of the sandbox, and
KERNEL what it runs on, `linux` or `gvisor`; that port and interpreters are empty when there is none.

Every connection carries frames. One connection is for control; each execution and each file transfer has one to
itself, so that the kernel's socket buffers are the back-pressure and a slow reader holds up nobody
else. A supervisor keeps its connection for the executions that follow.

Processes: the agent forks supervisors of commands, each the reaper of all that its command leaves
behind, which fork a launcher that starts the programs; a supervisor per language whose variables live
on, which forks the interpreter; and a worker per file transfer, which gives up the agent's rights
before it touches a path. In a sandbox with a network policy a forwarder carries what comes to the proxy's port to
the engine, which decides. Once a Python context is created there is a zygote as well, which forks the
supervisors of those that follow; once a port is asked for, a relay of the connections to ports.

Modules, each of which imports only those before it, while none imports this one: `sandkeeper_wire` is what the agent
and the engine say, `sandkeeper_processes` what a process of the agent's may do and has for children,
`sandkeeper_streams` what programs read and write, `sandkeeper_executions` what commands and cells have in common.
On these stand `sandkeeper_commands`, `sandkeeper_contexts` and `sandkeeper_files`; `sandkeeper_python` is what keeps
the variables of Python code, and `sandkeeper_languages` how that and its like for other languages are started.
The others are loaded by the process that needs them: `sandkeeper_cells`, `sandkeeper_archives`, `sandkeeper_watch`,
`sandkeeper_egress`, `sandkeeper_ports` and `sandkeeper_zygote`.
"""

# The C modules behind `socket` and `signal`: the wrappers cost 12 ms of start-up, more than the rest.
import _signal as signal
import _socket as socket
import errno
import gc
import os
import select
import sys
import time

# In isolation Python does not look beside the program. Taken away again when the rest is loaded.
sys.path.insert(0, os.path.dirname(__file__))

from sandkeeper_wire import (
    DELETE, GOODBYE, INTERRUPT, OPEN, REDIAL_FIRST_SECONDS, REDIAL_MOST_SECONDS, REFUSED, RENEW,
    RESTART, SETUP, STOP, Gone, dial, millis_until, pack, unpack,
)

# Milliseconds of the monotonic clock, kept up to date by the engine also while the agent is frozen.
PAID_UNTIL_PATH = "/run/sandkeeper/paid-until"
# Where the engine takes connections to hosts, in a sandbox that may have any.
EGRESS_PATH = "/run/sandkeeper/egress.sock"
# How often the forwarder of connections to hosts may end before there is none.
MAX_FORWARDERS = 20
# Executions, transfers and commands' leftover daemons that each need a process of the agent's.
MAX_CHILDREN = 96
# What one of them takes on gVisor, which ends with all of the sandbox when memory runs out.
GVISOR_CHILD_MIB = 16
# What is asked for instead of a context's language.
PORT = b"port"


def prepare(settings):
    """Loads what is not needed to say HELLO, and gives up what must not reach a child."""
    global commands, contexts, files, languages, processes
    # A collection in a forked child would copy every page it looks at.
    gc.disable()
    import sandkeeper_processes as processes

    processes.give_up_rights(settings)
    import sandkeeper_commands as commands
    import sandkeeper_contexts as contexts
    import sandkeeper_files as files
    import sandkeeper_languages as languages

    del sys.path[0]


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
                self.pid = processes.fork_child(self.carry)
                return
        except OSError as error:
            processes.log("forwarder: %s" % error)
        # Who connects is to be told, and not to wait.
        self.listener.close()

    def carry(self):
        """Holds no right, as it reads what programs send; under the agent's user id they cannot reach it."""
        signal.set_wakeup_fd(-1)
        processes.drop_capabilities()
        processes.keep_only(self.listener.fileno())
        processes.load_program("sandkeeper_egress").forward(self.listener, EGRESS_PATH)


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
        self.wakeup = processes.Wakeup()
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
                    self.settings.environment = processes.environment_of({"env": unpack(payload)}, {})
                elif kind == STOP:
                    processes.send_signal(self.user_processes(), signal.SIGTERM)
                    self.stop_at = time.monotonic() + offset / 1000
        except Gone:
            self.lose_control()

    def open(self, name, target):
        """Starts what will dial for an execution or a transfer, or without a name be ready for one."""
        try:
            if len(self.children) >= self.settings.max_children:
                raise OSError(errno.EAGAIN, "too many executions")
            language = target.partition(b"/")[0]
            if language in languages.DRIVERS or target == PORT:
                if target not in self.contexts:
                    self.start_context(target)
                self.contexts[target][1].send(name)
                return
            serve = commands.supervise_commands if target == b"command" else files.serve_files
            self.children.add(processes.fork_child(lambda: serve(name, self.settings)))
        except OSError as error:
            self.control.send(REFUSED, 0, pack(name, os.strerror(error.errno or 0).encode()))

    def start_context(self, target):
        """Makes the supervisor of a context, which is named by its language, a slash and more; or the relay of
        ports."""
        language, _, name = target.partition(b"/")
        if target == PORT:
            self.contexts[target] = self.fork_told(self.relay_ports)
        elif language == languages.PYTHON:
            self.contexts[target] = self.take_spare() or self.fork_context(languages.DRIVERS[language])
            # A sandbox whose code all runs in the default context is not to pay for a zygote.
            if self.zygote is not None or b"/" in name:
                self.tend_zygote()
        else:
            self.contexts[target] = self.fork_context(languages.DRIVERS[language])
        self.children.add(self.contexts[target][0])

    def fork_context(self, driver):
        """Forks a context's supervisor; returns its pid and the socket that gives it its cells."""
        return self.fork_told(lambda fd: contexts.supervise_context(fd, driver, self.settings))

    def fork_told(self, serve):
        """Forks what is told names by a socket; returns its pid and our end of that."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        fd = theirs.detach()
        try:
            pid = processes.fork_child(lambda: serve(fd))
        finally:
            os.close(fd)
        return pid, ours

    def relay_ports(self, names_fd):
        processes.load_program("sandkeeper_ports").relay(names_fd)

    def take_spare(self):
        """Returns what `fork_context` does, of a supervisor that waits for a context, if one does."""
        return None if self.zygote is None else self.zygote.take()

    def tend_zygote(self):
        """Has the next Python context's supervisor made ahead, with the template's modules loaded."""
        try:
            if self.zygote is None:
                program = processes.load_program("sandkeeper_zygote")
                self.zygote = program.Zygote(languages.DRIVERS[languages.PYTHON], self.settings)
            self.zygote.tend()
        except OSError as error:
            processes.log("zygote: %s" % error)

    def order(self, kind, target):
        """Has a context do what the engine says; one that has yet to begin has nothing to do."""
        if target in self.contexts:
            supervisor, names = self.contexts[target]
            number = processes.INTERRUPTED if kind == INTERRUPT else processes.RESTARTED
            processes.send_signal([supervisor], number)
            if kind == DELETE:
                names.close()
                del self.contexts[target]

    def reap(self):
        for pid, _, _ in processes.reap():
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
                if name.isdigit() and os.stat("/proc/%s" % name).st_uid == processes.USER_ID:
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
