"""The zygote: a process that has the template's modules loaded, and forks Python contexts with them.

Process 1 loads it when a first Python context is created. From then on one supervisor waits for a next
context, its interpreter already forked: the modules' memory is shared, copied only where it is written,
and neither loading nor forking is waited for. The context that comes before the modules are loaded does
without them.

User code must not reach what later contexts are forked from. So the zygote stays under the agent's user
id, as do a spare supervisor and its interpreter: the user's processes can neither see, signal nor trace
them, nor change their limits. An interpreter becomes the user's when it is given its first cell. In return
the modules are loaded from the host's folders alone, without the user's home, and of the environment with
numbers of threads only: nothing that the user wrote is read with the agent's rights.
"""

import _signal as signal
import _socket as socket
import gc
import io
import os
import resource
import select
import struct
import sys
import time

from sandkeeper_contexts import supervise_context
from sandkeeper_processes import fork_child, keep_only, log
from sandkeeper_python import load_cell_modules
from sandkeeper_wire import wait_for

# How often the zygote may end before it has forked anything.
MAX_FAILURES = 3
# How long process 1 does nothing else than wait for a fork.
FORK_SECONDS = 0.1
# Numbers of threads, which libraries read when they are loaded.
THREADS = b"_NUM_THREADS"


class Zygote:
    """The zygote and the spare supervisor, as process 1 sees them."""

    def __init__(self, driver, settings):
        self.driver = driver
        self.settings = settings
        self.pid = None
        # Each order is a socket by which a spare supervisor is to get its cells.
        self.orders = None
        # The other end of the one ordered last, and who has it once that is known.
        self.spare = None
        self.spare_pid = None
        self.is_loaded = False
        self.failures = 0

    def tend(self):
        """Sees to it that there is a zygote, and a spare supervisor at least on its way."""
        if self.pid is None and self.failures < MAX_FAILURES:
            self.start()
        if self.spare is None and self.pid is not None:
            self.order()

    def start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        fd = theirs.detach()
        try:
            self.pid = fork_child(lambda: live(fd, self.driver, self.settings))
        finally:
            os.close(fd)
        self.orders = ours
        self.is_loaded = False

    def order(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", theirs.fileno()))]
        try:
            self.orders.sendmsg([b"fork"], rights)
        finally:
            theirs.close()
        self.spare = ours

    def news_fd(self):
        """A descriptor to hear from while a spare supervisor is on its way, otherwise negative."""
        return self.spare.fileno() if self.spare is not None and self.spare_pid is None else -1

    def hear(self):
        """Learns who the spare supervisor is, or that there will be none."""
        if self.news_fd() < 0:
            return  # the one that had news was taken or dropped meanwhile
        try:
            told = self.spare.recv(32)
        except BlockingIOError:
            return
        except OSError:
            told = b""
        if told:
            self.spare_pid = int(told)
            self.is_loaded = True
            self.failures = 0
        else:
            self.drop_spare()

    def take(self):
        """Returns the spare supervisor's pid and the socket that gives it its cells, if there is one.

        Once the modules are loaded one that is on its way is waited for: that takes a fork.
        """
        fd = self.news_fd()
        if fd >= 0 and self.is_loaded:
            deadline = time.monotonic() + FORK_SECONDS
            if wait_for(fd, select.POLLIN, deadline):
                self.hear()
        if self.spare_pid is None:
            return None
        # It says nothing more, so it has hung up: it may have ended before it was heard.
        if wait_for(self.spare.fileno(), select.POLLIN, 0):
            self.drop_spare()
            return None
        taken = self.spare_pid, self.spare
        self.spare, self.spare_pid = None, None
        return taken

    def ended(self, pid):
        """A child of process 1 has ended."""
        if pid == self.pid:
            log("the zygote ended")
            self.pid = None
            self.orders.close()
            self.failures += 1
        elif pid == self.spare_pid:
            self.drop_spare()

    def drop_spare(self):
        self.spare.close()
        self.spare, self.spare_pid = None, None


def live(orders_fd, driver, settings):
    """The life of the zygote: loads the modules, then forks a spare supervisor for each order."""
    keep_only(orders_fd)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    orders = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=orders_fd)
    before_kib = peak_kib()
    load(settings)

    def supervise(names_fd):
        # A fork begins with what it shares as its peak.
        settings.preloaded_bytes = max(0, peak_kib() - before_kib) * 1024
        supervise_context(names_fd, driver, settings, is_spare=True)

    while True:
        order, rights, _, _ = orders.recvmsg(32, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        if not order:
            return
        (names_fd,) = struct.unpack("=i", rights[0][2])
        try:
            # Its parent ends at once, so that process 1 becomes it: a context outlives the zygote.
            between = fork_child(lambda: fork_child(lambda: supervise(names_fd)))
            os.waitpid(between, 0)
        except OSError as error:
            log("zygote: %s" % error)
        finally:
            os.close(names_fd)


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def load(settings):
    """Loads what every cell needs and the template's modules, but for those that are not there."""
    import site

    load_cell_modules()
    for name, value in settings.environment.items():
        if name.endswith(THREADS) and value.isdigit():
            os.environb[name] = value
    path, streams = list(sys.path), (sys.stdout, sys.stderr)
    sys.path += site.getsitepackages()
    # What they say when they are loaded is for nobody.
    sys.stdout = sys.stderr = io.StringIO()
    for name in settings.imports:
        try:
            __import__(name)
        except BaseException as error:
            log("%s is not loaded ahead: %s: %s" % (name, type(error).__name__, error))
    sys.path[:] = path
    sys.stdout, sys.stderr = streams
    # What is collected later is what came later: looking at the rest would copy it.
    gc.collect()
    gc.freeze()
