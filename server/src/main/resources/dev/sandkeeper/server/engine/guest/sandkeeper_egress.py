"""Carries connections of the sandbox's programs to the engine's proxy, as they are.

Nothing is decided here: what may be connected to is the engine's to say, which takes what comes for the words of a
stranger. Each direction of a connection holds one piece at a time, so a slow reader is waited for.
"""

import _socket as socket
import select

MAX_CONNECTIONS = 256
PIECE_BYTES = 64 * 1024


class Direction:
    """What is read of one socket and written to another.

    A program that still sends when the engine has already answered and closed is read to its end: closed before
    that, it would be told of a reset in place of the answer.
    """

    def __init__(self, source, sink, is_read_to_end):
        self.source = source
        self.sink = sink
        self.piece = b""
        self.is_over = False
        self.is_read_to_end = is_read_to_end
        # Whether nobody takes it any more.
        self.is_dropped = False

    def read(self):
        try:
            self.piece = self.source.recv(PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.piece = b""
        if not self.piece:
            self.end()
        elif self.is_dropped:
            self.piece = b""

    def write(self):
        try:
            self.piece = self.piece[self.sink.send(self.piece) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.piece = b""
            self.is_dropped = True
            if not self.is_read_to_end:
                self.end()

    def end(self):
        self.is_over = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def dial(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def accept(listener, path):
    """Returns both directions of a connection that waits; none when the engine does not take it."""
    try:
        fd, _ = listener._accept()
    except OSError:
        return ()
    program = socket.socket(fileno=fd)
    try:
        engine = dial(path)
    except OSError:
        program.close()
        return ()
    program.setblocking(False)
    return Direction(program, engine, True), Direction(engine, program, False)


def forward(listener, path):
    """Serves for ever."""
    listener.setblocking(False)
    connections = []
    while True:
        poller, actions = select.poll(), {}
        if len(connections) < MAX_CONNECTIONS:
            poller.register(listener.fileno(), select.POLLIN)
        for connection in connections:
            for direction in connection:
                if direction.is_over:
                    continue
                end = direction.sink if direction.piece else direction.source
                wanted = select.POLLOUT if direction.piece else select.POLLIN
                events, todo = actions.get(end.fileno(), (0, ()))
                action = direction.write if direction.piece else direction.read
                actions[end.fileno()] = events | wanted, (*todo, (wanted, action))
        for fd, (events, _) in actions.items():
            poller.register(fd, events)
        for fd, events in poller.poll():
            if fd == listener.fileno():
                connection = accept(listener, path)
                if connection:
                    connections.append(connection)
                continue
            for wanted, action in actions[fd][1]:
                # An end that is gone says so to whoever uses it next.
                if events & (wanted | select.POLLHUP | select.POLLERR):
                    action()
        for connection in [c for c in connections if c[0].is_over and c[1].is_over]:
            connections.remove(connection)
            connection[0].source.close()
            connection[0].sink.close()
