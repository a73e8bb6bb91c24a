"""The agent's processes: what each of them may do, and its children.

Every one of them is forked from process 1, directly or not, with the agent's user id and rights, and gives up
what it does not need.
"""

import _signal as signal
import ctypes
import os
import resource
import struct
import sys

from sandkeeper_wire import Gone

# The folder of what is loaded beside the agent.
PROGRAMS = os.path.dirname(__file__)

USER_ID = 1000
HOME = "/home/user"
LOG_BYTES = 64 * 1024
# As many supervisors wait for a command at most; the engine sees to that.
IDLE_LAUNCHERS = 2
# By these signals the supervisor of a context hears at once what process 1 is told.
INTERRUPTED, RESTARTED = signal.SIGUSR1, signal.SIGUSR2
# More than the agent ever opens.
MAX_DESCRIPTORS = 4096

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 4, 36, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
CAPABILITIES = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID

libc = ctypes.CDLL(None, use_errno=True)


def log(message):
    """Writes to the launch log while it is small; the engine reads it when a start fails."""
    try:
        if os.fstat(2).st_size < LOG_BYTES:
            os.write(2, ("agent: %s\n" % message).encode("utf-8", "replace")[:4096])
    except OSError:
        pass


def load_program(name):
    """Loads a module that lies beside the agent."""
    sys.path.insert(0, PROGRAMS)
    try:
        return __import__(name)
    finally:
        del sys.path[0]


def give_up_rights(settings):
    """Gives up what must not reach a child."""
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


def enter(folder):
    """Changes to a folder given relative to the home."""
    try:
        os.chdir(os.path.join(os.fsencode(HOME), folder))
    except OSError as error:
        text = "working directory: %s" % os.strerror(error.errno)
        raise type(error)(0, text) from None


def environment_of(request, base):
    """The environment of an execution: the sandbox's, and the request's on top."""
    variables = dict(base)
    for pair in request.get("env", ()):
        name, _, value = pair.partition(b"=")
        variables[name] = value
    return variables


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


def read_whole(fd):
    chunks = []
    while True:
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


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
