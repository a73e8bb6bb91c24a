"""The conversation of the agent with the engine: connections, and the frames on them.

A frame is payload length (4 bytes), type (1), offset (8), payload, numbers in network order. The agent's processes
speak to each other in frames as well. Imports nothing of the agent, which says HELLO with this module alone.
"""

import _socket as socket
import os
import select
import struct
import time

SOCKET_PATH = "/run/sandkeeper/engine.sock"
PROTOCOL = b"3"

HEADER = struct.Struct("!IBQ")
FIELD = struct.Struct("!I")

# From the agent.
HELLO, STARTED, STDOUT, STDERR, RESULT, ERROR, FINISHED = 1, 2, 3, 4, 5, 6, 7
DATA, DONE, FAULT, ENTRY, REFUSED, GOODBYE, CHANGE = 8, 9, 10, 11, 12, 13, 14
INPUT_STATE = 20
# From the engine.
OPEN, RENEW, STOP, SETUP, REQUEST, SIGNAL, CHUNK, COMMIT = 32, 33, 34, 35, 36, 37, 38, 39
ACKNOWLEDGE, RESUME, FORGET, DROP = 40, 41, 42, 43
INTERRUPT, RESTART, DELETE = 44, 45, 46
INPUT, CLOSE_INPUT, RESIZE = 50, 51, 52

CHUNK_BYTES = 256 * 1024
# More than any source or stdin the engine lets through.
MAX_FRAME_BYTES = 96 * 1024 * 1024
# The same of an interpreter, which user code runs in.
MAX_RESULT_BYTES = 1024 * 1024

REDIAL_FIRST_SECONDS = 0.02
REDIAL_MOST_SECONDS = 0.5
REQUEST_SECONDS = 30.0


class Gone(Exception):
    """The engine closed the connection."""


def pack(*fields):
    """Joins byte strings, each after its length."""
    return b"".join(FIELD.pack(len(field)) + field for field in fields)


def unpack(payload):
    """Undoes `pack`."""
    view, fields = memoryview(payload), []
    while view:
        (size,) = FIELD.unpack_from(view)
        fields.append(bytes(view[4 : 4 + size]))
        view = view[4 + size :]
    return fields


def named(payload):
    """Reads fields as names and values in turn; a name may come more than once."""
    fields, values = unpack(payload), {}
    for name, value in zip(fields[::2], fields[1::2]):
        values.setdefault(name.decode(), []).append(value)
    return values


def repack(values):
    """Undoes `named`."""
    return b"".join(pack(name.encode(), value) for name in values for value in values[name])


def frame(kind, offset=0, payload=b""):
    return HEADER.pack(len(payload), kind, offset) + payload


def unsent(views, sent):
    """Returns what is left of a list of views once so many bytes of it were sent."""
    for index, view in enumerate(views):
        if sent < len(view):
            return [view[sent:]] + views[index + 1 :]
        sent -= len(view)
    return []


class Channel:
    """A connection that never blocks the process it belongs to.

    Its other end is gone for it once that sends a frame of more than `most` bytes.
    """

    def __init__(self, sock, most=MAX_FRAME_BYTES):
        sock.setblocking(False)
        self.sock = sock
        self.most = most
        self.outgoing = []
        self.incoming = bytearray()
        self.frames = []

    def fileno(self):
        return self.sock.fileno()

    def send(self, kind, offset=0, payload=b""):
        """Queues a frame. Callers add no more while something is queued, which bounds the queue."""
        self.send_bytes([HEADER.pack(len(payload), kind, offset), payload])

    def send_bytes(self, parts):
        """Queues bytes as they are, as `send` does a frame."""
        self.outgoing += [memoryview(part) for part in parts if part]
        self.flush()

    def flush(self):
        """Sends what the socket takes now."""
        while self.outgoing:
            try:
                sent = self.sock.sendmsg(self.outgoing)
            except BlockingIOError:
                return
            except InterruptedError:
                continue
            except OSError as error:
                raise Gone from error
            self.outgoing = unsent(self.outgoing, sent)

    def receive(self):
        """Returns the frames that are complete by now, reading once."""
        self.read_once()
        frames, self.frames = self.frames, []
        return frames

    def read_once(self):
        try:
            data = self.sock.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.incoming += data
        while len(self.incoming) >= HEADER.size:
            size, kind, offset = HEADER.unpack_from(self.incoming)
            if size > self.most:
                raise Gone
            if len(self.incoming) < HEADER.size + size:
                break
            payload = bytes(self.incoming[HEADER.size : HEADER.size + size])
            del self.incoming[: HEADER.size + size]
            self.frames.append((kind, offset, payload))

    def drain(self):
        """Returns what has come of a connection that is lost."""
        try:
            while wait_for(self.fileno(), select.POLLIN, 0):
                self.read_once()
        except Gone:
            pass
        return self.frames

    def await_frame(self, seconds):
        """Returns the next frame; for the parts of a conversation where nothing else happens."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.frames:
            if not wait_for(self.fileno(), select.POLLIN, deadline):
                raise Gone
            self.read_once()
        return self.frames.pop(0)

    def poll_request(self):
        """Reads once at most; returns the payload of the next request if it is there whole.

        What came before it is left of an execution that is over, such as a signal.
        """
        if not self.frames:
            self.read_once()
        while self.frames:
            kind, _, payload = self.frames.pop(0)
            if kind == REQUEST:
                return payload
        return None

    def await_request(self, seconds):
        """Returns the payload of the next request."""
        while True:
            kind, _, payload = self.await_frame(seconds)
            if kind == REQUEST:
                return payload

    def close(self):
        self.sock.close()


def wait_for(fd, events, deadline):
    """Waits for one descriptor; false when the monotonic deadline passed first."""
    poller = select.poll()
    poller.register(fd, events)
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    return bool(poller.poll(None if seconds is None else seconds * 1000))


def millis_until(moment):
    """How long a poll may wait for a moment of the monotonic clock; None for ever."""
    if moment == float("inf"):
        return None
    return max(0.0, moment - time.monotonic()) * 1000 + 1


def receive_exactly(sock, size):
    """Waits for so many bytes; ends the process when the supervisor is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = sock.recv_into(view)
        if count == 0:
            os._exit(0)
        view = view[count:]
    return data


def dial(role, name=b""):
    """Connects and says who calls."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(SOCKET_PATH)
    except OSError:
        sock.close()
        raise
    channel = Channel(sock)
    channel.send(HELLO, 0, pack(PROTOCOL, role, name))
    return channel
