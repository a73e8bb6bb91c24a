"""The process that keeps a Python context's variables, forked from the agent: runs cell after cell.

User code runs in it, so it has given up the agent's rights by then. What cells can do beyond Python is in
`sandkeeper_cells`, which is loaded with the first of them.
"""

import _signal as signal
import _socket as socket
import _thread
import gc
import os
import sys

from sandkeeper_processes import (
    HOME, INTERRUPTED, PR_SET_DUMPABLE, RESTARTED, become_user, drop_capabilities, enter,
    environment_of, load_program, log, prctl,
)
from sandkeeper_streams import memory_file
from sandkeeper_wire import (
    ERROR, FINISHED, HEADER, RESULT, STARTED, frame, named, pack, receive_exactly,
)

# A character becomes six bytes at most.
MAX_RESULT_CHARS = 128 * 1024
MAX_TRACEBACK_CHARS = 32 * 1024
MAX_ERROR_CHARS = 8 * 1024


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
    # User code is to find the agent's modules under no name.
    for name in [name for name in sys.modules if name.startswith("sandkeeper_")]:
        del sys.modules[name]
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(
            fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    return main.__dict__


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
