"""The sandbox's end of the link: the agent's sockets, carried over this process's standard streams.

Listens where the agent dials the engine, and carries all connections as one stream of frames: down on standard output,
up on standard input. Run as `python3 -I -S sandkeeper_link.py FOLDER USER_ID SILENCE_MILLIS`: FOLDER gets the sockets,
which only USER_ID can open, and which this process becomes once it listens; it ends when it has heard nothing for
SILENCE_MILLIS. Only one of them serves a folder: one that begins ends the one before. Standard library only, Python
3.9 or newer.

A frame: kind (1 byte), connection (4), sequence number (8), payload length (4), CRC-32 of all that and the payload
(4), payload; numbers in network order. Each direction counts its frames from 0, so that one that is missing, comes
twice or too early is noticed: the link is then broken, and with it every connection, which the agent dials anew. A
side sends no more of a connection than the other has given credit for, so that a slow one stalls no other.
"""

import _signal as signal
import _socket as socket
import binascii
import errno
import fcntl
import os
import select
import struct
import sys
import time

VERSION = b"1"
HEAD = struct.Struct("!BIQI")
CHECK = struct.Struct("!I")
CREDIT = struct.Struct("!I")
# What the kernel tells of who holds a lock, on 64-bit Linux.
LOCK = struct.Struct("hhqqi4x")

HELLO, OPEN, DATA, WINDOW, END, RESET, PING, PONG = 1, 2, 3, 4, 5, 6, 7, 8

# No connection is 0: what is of all of them has this number.
NO_CONNECTION = 0
SOCKETS = (b"engine", b"egress")
WINDOW_BYTES = 256 * 1024
MAX_PAYLOAD_BYTES = 32 * 1024
# With as much waiting to go down no connection is read.
MAX_WAITING_BYTES = 256 * 1024
READ_BYTES = 256 * 1024
MAX_CONNECTIONS = 512
STDIN, STDOUT, STDERR = 0, 1, 2


class Broken(Exception):
    """The link is of no use any more."""


class Connection:
    """One that the agent dialled."""

    def __init__(self, number, sock):
        self.number = number
        self.sock = sock
        # What the engine sent and the agent has not taken.
        self.outgoing = bytearray()
        # How much may be sent to the engine.
        self.credit = WINDOW_BYTES
        # How much the engine may send, and how much the agent has taken since that was told.
        self.allowed = WINDOW_BYTES
        self.taken = 0
        # Whether the agent sends no more, and the engine.
        self.is_agent_over = False
        self.is_engine_over = False
        # Whether the agent takes no more: what still comes is dropped.
        self.is_agent_deaf = False

    def is_over(self):
        return self.is_agent_over and (self.is_engine_over or self.is_agent_deaf) and not self.outgoing


class Link:
    """All connections, and the stream that carries them."""

    def __init__(self, listeners, silence):
        self.listeners = listeners
        self.silence = silence
        self.heard = time.monotonic()
        self.connections = {}
        self.last_number = 0
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.next_sent = 0
        self.next_heard = 0

    def send(self, kind, number=NO_CONNECTION, payload=b""):
        head = HEAD.pack(kind, number, self.next_sent, len(payload))
        self.next_sent += 1
        self.outgoing += head
        self.outgoing += CHECK.pack(binascii.crc32(payload, binascii.crc32(head)))
        self.outgoing += payload

    def loop(self):
        self.send(HELLO, payload=VERSION)
        while True:
            left = self.heard + self.silence - time.monotonic()
            if left <= 0:
                raise Broken("no sign of life from the engine")
            poller, actions = select.poll(), {STDIN: self.hear, STDOUT: self.flush}
            poller.register(STDIN, select.POLLIN)
            if self.outgoing:
                poller.register(STDOUT, select.POLLOUT)
            if len(self.connections) < MAX_CONNECTIONS:
                for fd in self.listeners:
                    poller.register(fd, select.POLLIN)
            has_room = len(self.outgoing) < MAX_WAITING_BYTES
            for connection in self.connections.values():
                wanted = select.POLLOUT if connection.outgoing else 0
                if has_room and connection.credit and not connection.is_agent_over:
                    wanted |= select.POLLIN
                # One that nothing is wanted of would wake us all the time once it is closed.
                if wanted:
                    poller.register(connection.sock.fileno(), wanted)
                    actions[connection.sock.fileno()] = connection
            for fd, events in poller.poll(left * 1000 + 1):
                if fd in self.listeners:
                    self.accept(*self.listeners[fd])
                elif fd <= STDERR:
                    actions[fd]()
                elif actions[fd].number in self.connections:
                    self.serve(actions[fd], events)
            # At once, not after another look at everything.
            if self.outgoing:
                self.flush()

    def accept(self, listener, name):
        try:
            fd, _ = listener._accept()
        except OSError:
            return
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        self.last_number += 1
        self.connections[self.last_number] = Connection(self.last_number, sock)
        self.send(OPEN, self.last_number, name)

    def serve(self, connection, events):
        try:
            if connection.outgoing:
                self.write(connection)
            if events & ~select.POLLOUT and connection.credit and not connection.is_agent_over:
                self.read(connection, events & select.POLLHUP)
        except OSError:
            self.send(RESET, connection.number)
            self.forget(connection)
            return
        self.forget_if_over(connection)

    def read(self, connection, is_closed):
        try:
            data = connection.sock.recv(min(connection.credit, MAX_PAYLOAD_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        if data:
            connection.credit -= len(data)
            self.send(DATA, connection.number, data)
        elif connection.is_agent_deaf or is_closed and not connection.is_engine_over:
            raise ConnectionResetError
        else:
            connection.is_agent_over = True
            self.send(END, connection.number)

    def write(self, connection):
        try:
            sent = connection.sock.send(connection.outgoing)
        except (BlockingIOError, InterruptedError):
            return
        except BrokenPipeError:
            # What it has said before it went is still to be read.
            connection.is_agent_deaf = True
            connection.outgoing.clear()
            return
        del connection.outgoing[:sent]
        connection.taken += sent
        if connection.taken >= WINDOW_BYTES // 2 and not connection.is_engine_over:
            self.send(WINDOW, connection.number, CREDIT.pack(connection.taken))
            connection.allowed += connection.taken
            connection.taken = 0
        self.end_if_written(connection)

    def end_if_written(self, connection):
        if connection.is_engine_over and not connection.outgoing:
            try:
                connection.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise

    def forget_if_over(self, connection):
        if connection.is_over():
            self.forget(connection)

    def forget(self, connection):
        self.connections.pop(connection.number, None)
        connection.sock.close()

    def hear(self):
        """Reads once what the engine sends."""
        try:
            data = os.read(STDIN, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise Broken("the engine closed the link")
        self.heard = time.monotonic()
        self.incoming += data
        begin, whole = 0, HEAD.size + CHECK.size
        while len(self.incoming) >= begin + whole:
            kind, number, sequence, size = HEAD.unpack_from(self.incoming, begin)
            if sequence != self.next_heard or size > MAX_PAYLOAD_BYTES:
                raise Broken("frame %d of %d bytes (expected: frame %d)" % (sequence, size, self.next_heard))
            if len(self.incoming) < begin + whole + size:
                break
            head = bytes(self.incoming[begin : begin + HEAD.size])
            payload = bytes(self.incoming[begin + whole : begin + whole + size])
            (check,) = CHECK.unpack_from(self.incoming, begin + HEAD.size)
            if check != binascii.crc32(payload, binascii.crc32(head)):
                raise Broken("frame %d is damaged" % sequence)
            self.next_heard += 1
            begin += whole + size
            self.obey(kind, number, payload)
        del self.incoming[:begin]

    def obey(self, kind, number, payload):
        if kind == PING:
            self.send(PONG)
            return
        if kind not in (DATA, WINDOW, END, RESET) or not 0 < number <= self.last_number:
            raise Broken("frame of kind %d for connection %d" % (kind, number))
        connection = self.connections.get(number)
        # What is under way when a connection ends here comes too late, and is nobody's.
        if connection is None:
            return
        try:
            if kind == DATA:
                self.take(connection, payload)
            elif kind == WINDOW:
                connection.credit += CREDIT.unpack(payload)[0]
            elif kind == END:
                connection.is_engine_over = True
                self.end_if_written(connection)
                self.forget_if_over(connection)
            else:
                self.forget(connection)
        except OSError:
            self.send(RESET, number)
            self.forget(connection)

    def take(self, connection, payload):
        connection.allowed -= len(payload)
        if connection.allowed < 0 or connection.is_engine_over:
            raise Broken("more for connection %d than there is room for" % connection.number)
        if not connection.is_agent_deaf:
            connection.outgoing += payload
            self.write(connection)

    def flush(self):
        """Writes what standard output takes now."""
        try:
            sent = os.write(STDOUT, memoryview(self.outgoing)[:MAX_WAITING_BYTES])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            raise Broken("nobody takes what the link sends") from None
        del self.outgoing[:sent]


def take_place(folder):
    """Ends the process that serves the folder, if one does; returns what says that now this one does."""
    fd = os.open(folder + "/link.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except (BlockingIOError, PermissionError):
            lock = fcntl.fcntl(fd, fcntl.F_GETLK, LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            kind, _, _, _, holder = LOCK.unpack(lock)
            if kind != fcntl.F_UNLCK:
                try:
                    os.kill(holder, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.001)


def listen(path, user_id):
    """Listens on a socket that only this user can open."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(path)
    if user_id != os.geteuid():
        os.chown(path, user_id, user_id)
    listener.listen(128)
    return listener


def become(user_id):
    if user_id != os.geteuid():
        os.setgroups([])
        os.setgid(user_id)
        os.setuid(user_id)


def main(folder, user_id, silence_millis):
    # Kept open: the lock goes with it.
    place = take_place(folder)
    os.umask(0o177)
    listeners = {}
    for name in SOCKETS:
        listener = listen("%s/%s.sock" % (folder, name.decode()), int(user_id))
        listeners[listener.fileno()] = listener, name
    become(int(user_id))
    os.set_blocking(STDIN, False)
    os.set_blocking(STDOUT, False)
    try:
        Link(listeners, int(silence_millis) / 1000).loop()
    except Broken as broken:
        os.write(STDERR, b"link: %s\n" % str(broken).encode())
    finally:
        os.close(place)


if __name__ == "__main__":
    main(*sys.argv[1:])
