"""Contexts: the supervisor that hands cells to an interpreter, whatever its language, and ends what does not end."""

import _signal as signal
import _socket as socket
import os
import select
import time

from sandkeeper_executions import Conversation, Run, split_status
from sandkeeper_processes import (
    HOME, INTERRUPTED, RESTARTED, Wakeup, become_reaper, fork_child, keep_only, log, micros,
    reap, signal_tree,
)
from sandkeeper_streams import output_pipe
from sandkeeper_wire import (
    ERROR, FINISHED, MAX_RESULT_BYTES, REQUEST_SECONDS, RESULT, STARTED, STDERR, STDOUT,
    Channel, Gone, dial, frame, millis_until, named, pack, wait_for,
)

# An interpreter that tells more of one cell, by results and errors together, is ended.
MAX_REPLIED_BYTES = 16 * 1024 * 1024
# What a shell returns for a program that is not there.
NOT_FOUND_CODE = 127
# How long a cell may take to obey an interrupt when nobody wants its outcome, before it is killed.
INTERRUPT_SECONDS = 2.0
INTERRUPT_AGAIN_MILLIS = 100
# How often, and after how long each time, a shell that did not obey is interrupted or asked again.
MAX_INTERRUPT_REPEATS = 20
INTERRUPT_REPEAT_SECONDS = 0.5


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
