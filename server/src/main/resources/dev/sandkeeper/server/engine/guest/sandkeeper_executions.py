"""What commands and cells have in common: the conversation about an execution, and the loop of its supervisor.

An execution outlives its connection: what the engine has not acknowledged is kept, and sent again over the next one.
"""

import _signal as signal
import os
import select
import time

from sandkeeper_processes import signal_tree
from sandkeeper_streams import Input, TerminalInput
from sandkeeper_wire import (
    ACKNOWLEDGE, CHUNK_BYTES, CLOSE_INPUT, FINISHED, FORGET, INPUT, INPUT_STATE,
    MAX_RESULT_BYTES, REDIAL_FIRST_SECONDS, REDIAL_MOST_SECONDS, REQUEST, RESIZE, RESUME,
    SIGNAL, Gone, dial, millis_until, pack, wait_for,
)

# An execution with as much unacknowledged reads no more of its program's output.
MAX_KEPT_BYTES = 1024 * 1024
# What a kept frame takes beside its payload, about.
KEPT_FRAME_BYTES = 256
# How long output is awaited once a command has exited but something still holds its pipes.
DRAIN_SECONDS = 0.05


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
