"""The relay: connects the engine to ports that programs of the sandbox listen on.

Process 1 forks it when a port is first asked for. It gets the name of each connection as a message, dials the
engine for it, connects to the port on the sandbox's loopback, says how that went in one frame, and from then
on passes bytes as they are, both ways. What one side does not take, the other is not asked for, so memory is
bounded by the number of connections, and a slow one holds up no other.

It keeps the agent's user id, which alone may dial the engine, without any right: the user's processes can
neither see into it nor signal it.
"""

import _signal as signal
import _socket as socket
import errno
import os
import select

from sandkeeper_processes import drop_capabilities, keep_only
from sandkeeper_wire import FAULT, STARTED, Gone, dial, pack

# The engine lets through fewer.
MAX_LINKS = 1024
CHUNK_BYTES = 64 * 1024
# How often in a row one direction may move bytes before the others have their turn.
MAX_MOVES = 16
# Programs often listen on one of them only.
ADDRESSES = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::1"),
)
# The name of a connection: a word, a number, the port.
NAME_PARTS = 3


def relay(names_fd):
    """The life of the relay."""
    signal.set_wakeup_fd(-1)
    keep_only(names_fd)
    drop_capabilities()
    names = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, names_fd)
    names.setblocking(False)
    links = Links()
    links.poller.register(names_fd, select.EPOLLIN)
    while True:
        for fd, events in links.poller.poll():
            if fd != names_fd:
                links.serve(fd, events)
                continue
            try:
                name = names.recv(256)
            except BlockingIOError:
                continue
            if not name:
                return
            links.open(name)


class Direction:
    """Bytes on their way from one socket to the other."""

    def __init__(self, source, target):
        self.source = source
        self.target = target
        # Taken from the source, and not yet by the target.
        self.pending = b""
        self.is_ended = False

    def wants_read(self):
        return not self.pending and not self.is_ended

    def stop(self):
        self.pending = b""
        self.is_ended = True

    def move(self):
        """Moves what can be moved now, and passes the end on. Fails when either side is broken."""
        for _ in range(MAX_MOVES):
            try:
                if self.wants_read():
                    data = self.source.recv(CHUNK_BYTES)
                    self.pending = memoryview(data)
                    if not data:
                        self.is_ended = True
                        self.target.shutdown(socket.SHUT_WR)
                if not self.pending:
                    return
                self.pending = self.pending[self.target.send(self.pending) :]
            except (BlockingIOError, InterruptedError):
                return


class Link:
    """One connection: a socket to the engine, and one to the port once it is connected."""

    def __init__(self, channel, port):
        self.channel = channel
        self.engine = channel.sock
        self.port = port
        self.addresses = list(ADDRESSES)
        self.program = None
        self.inward = self.outward = None
        # By descriptor: what the poller was told to look for.
        self.watched = {}

    def connect(self):
        """Begins to connect to the next address; returns an error number, or EINPROGRESS."""
        self.close_program()
        family, address = self.addresses.pop(0)
        try:
            self.program = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            return error.errno
        self.program.setblocking(False)
        return self.program.connect_ex((address, self.port))

    def close_program(self):
        if self.program is not None:
            self.program.close()
            self.program = None

    def is_over(self):
        return (
            self.inward is not None
            and self.inward.is_ended
            and self.outward.is_ended
            and not self.inward.pending
            and not self.outward.pending
        )

    def wanted(self):
        """Returns what to look for, by descriptor."""
        engine_fd, program_fd = self.engine.fileno(), self.program.fileno()
        if self.inward is None:
            return {engine_fd: 0, program_fd: select.EPOLLOUT}
        events = {engine_fd: 0, program_fd: 0}
        for direction in (self.inward, self.outward):
            if direction.wants_read():
                events[direction.source.fileno()] |= select.EPOLLIN
            if direction.pending:
                events[direction.target.fileno()] |= select.EPOLLOUT
        if not events[program_fd]:
            # The kernel tells of its end whether that is wanted or not, again and again.
            del events[program_fd]
        return events


class Links:
    """The open connections, by the descriptors of their two ends."""

    def __init__(self):
        self.poller = select.epoll()
        self.by_fd = {}

    def open(self, name):
        """Dials the engine by a name whose last part is the port, and begins to connect to that."""
        parts = name.split(b"-")
        if len(parts) != NAME_PARTS or len(self.by_fd) >= 2 * MAX_LINKS:
            return
        try:
            link = Link(dial(b"port", name), int(parts[-1]))
        except (OSError, ValueError, Gone):
            return
        self.go_on(link, self.try_connect)

    def serve(self, fd, events):
        link = self.by_fd.get(fd)
        if link is None:
            return
        if fd == link.engine.fileno() and events & (select.EPOLLHUP | select.EPOLLERR):
            # Nobody waits for anything any more.
            self.close(link)
        elif link.inward is None:
            self.go_on(link, self.connected)
        else:
            self.go_on(link, self.move)

    def go_on(self, link, step):
        """Takes a step with a connection, and closes it when that fails or was the last."""
        try:
            step(link)
            if link.is_over():
                self.close(link)
            elif link.program is not None:
                self.watch(link)
        except (OSError, Gone):
            self.close(link)

    def try_connect(self, link):
        code = link.connect()
        if code == 0:
            self.begin(link)
        elif code != errno.EINPROGRESS:
            self.refused(link, code)

    def connected(self, link):
        code = link.program.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.refused(link, code)
        else:
            self.begin(link)

    def refused(self, link, code):
        if link.addresses:
            self.unwatch(link)
            self.try_connect(link)
        else:
            link.channel.send(FAULT, 0, pack(os.strerror(code).encode()))
            self.close(link)

    def begin(self, link):
        link.program.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.channel.send(STARTED)
        link.inward = Direction(link.engine, link.program)
        link.outward = Direction(link.program, link.engine)

    @staticmethod
    def move(link):
        link.outward.move()
        try:
            link.inward.move()
        except OSError:
            # It takes no more, and may have answered before it said so.
            link.inward.stop()

    def watch(self, link):
        wanted = link.wanted()
        for fd in [fd for fd in link.watched if fd not in wanted]:
            self.poller.unregister(fd)
            del link.watched[fd], self.by_fd[fd]
        for fd, events in wanted.items():
            if fd not in link.watched:
                self.poller.register(fd, events)
                self.by_fd[fd] = link
            elif link.watched[fd] != events:
                self.poller.modify(fd, events)
            link.watched[fd] = events

    def unwatch(self, link):
        for fd in link.watched:
            self.poller.unregister(fd)
            del self.by_fd[fd]
        link.watched = {}

    def close(self, link):
        self.unwatch(link)
        link.channel.close()
        link.close_program()
