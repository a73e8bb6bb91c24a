"""HTTP/1.1 over asyncio streams: what the peer and the daemon in its sandboxes both speak."""

import asyncio
from urllib.parse import unquote

HEAD_LIMIT = 64 * 1024
CHUNK = 64 * 1024
# Small, so that a reader who is slow soon holds back who writes.
BUFFER = 64 * 1024

REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
    206: "Partial Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict", 412: "Precondition Failed",
    415: "Unsupported Media Type", 416: "Range Not Satisfiable", 429: "Too Many Requests",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 507: "Insufficient Storage",
}
# Of one connection, not of the message.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer"}


class Malformed(Exception):
    """What came is not HTTP/1.1."""


class Truncated(Exception):
    """The other side closed in the middle of a message."""


class Reader(asyncio.StreamReader):
    """Tells that the other side has closed, also while nobody reads."""

    def __init__(self, loop):
        super().__init__(limit=BUFFER, loop=loop)
        self.gone = asyncio.Event()

    def feed_eof(self):
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc):
        super().set_exception(exc)
        self.gone.set()


class Headers:
    """Fields of a message in the order they came; names are compared without case."""

    def __init__(self, fields=()):
        self.fields = list(fields)

    def get(self, name, default=None):
        name = name.lower()
        for field, value in self.fields:
            if field.lower() == name:
                return value
        return default

    def without(self, names):
        return [(field, value) for field, value in self.fields if field.lower() not in names]


class Request:
    """One request; its body is read by whoever handles it."""

    def __init__(self, method, target, headers, reader, writer):
        self.method = method
        self.target = target
        self.headers = headers
        self.reader = reader
        self.writer = writer
        path, _, self.query = target.partition("?")
        self.path = unquote(path)
        self.chunks = Chunks(self)
        # The connection to whom the request was passed on, if it was.
        self.upstream = None

    async def body(self, limit):
        """Returns the whole body, or None when it is longer than the limit."""
        whole = bytearray()
        async for data in self.chunks:
            whole += data
            if len(whole) > limit:
                return None
        return bytes(whole)

    async def until_gone(self, work):
        """Awaits the work, which ends when the client goes."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.reader.gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Truncated("the client went")
            return task.result()
        finally:
            for other in (task, gone):
                if not other.done():
                    other.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)


class Chunks:
    """The body of a request, piece by piece; whoever goes on reading it gets the rest."""

    def __init__(self, request):
        self.request = request
        self.pieces = None
        headers = request.headers
        self.empty = not headers.get("transfer-encoding") and not int(headers.get("content-length") or 0)
        self.read = self.empty
        self.broken = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.read or self.broken:
            raise StopAsyncIteration
        if self.pieces is None:
            if self.expected():
                self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.pieces = read_body(self.request.reader, self.request.headers)
        try:
            return await self.pieces.__anext__()
        except StopAsyncIteration:
            self.read = True
            raise
        except BaseException:
            self.broken = True
            raise

    def expected(self):
        """Whether the client waits to be asked for it."""
        return (self.request.headers.get("expect") or "").lower() == "100-continue"

    async def skip(self):
        """Reads what nobody has read; False when the next request cannot be found behind it."""
        if self.pieces is None and self.expected() and not self.read:
            return False
        async for _ in self:
            pass
        return self.read


class Answer:
    """The answer to one request: sent whole, or started, written to and finished."""

    def __init__(self, request, writer):
        self.request = request
        self.writer = writer
        self.started = False
        self.complete = False
        self.chunked = False

    async def send(self, status, body=b"", headers=()):
        """Sends an answer whose body is known."""
        fields = list(headers)
        if status not in (204, 304):
            fields.append(("Content-Length", str(len(body))))
        await self.start(status, fields, chunked=False)
        if body and self.request.method != "HEAD":
            await self.write(body)
        await self.finish()

    async def start(self, status, headers, chunked=True):
        """Sends the head; the body has the length the headers say, or comes in chunks."""
        self.started = True
        self.chunked = chunked
        lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, "Other"))]
        lines += ["%s: %s" % field for field in headers]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await self.writer.drain()

    async def write(self, data):
        """Sends a part of the body; waits while the client does not read."""
        if not data:
            return
        if self.chunked:
            self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self.writer.write(data)
        await self.writer.drain()

    async def finish(self):
        if self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        self.complete = True


async def read_lines(reader):
    """Returns the lines of a head, or None when the connection was closed before it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as closed:
        if closed.partial:
            raise Truncated("closed within a head") from None
        return None
    except asyncio.LimitOverrunError:
        raise Malformed("a head that is too long") from None
    except ConnectionError:
        return None
    return head[:-4].decode("latin-1").split("\r\n")


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise Malformed("not a header field: %r" % line)
        fields.append((name, value.strip()))
    return Headers(fields)


async def read_request(reader, writer):
    """Returns the next request of a connection, or None when there is none."""
    lines = await read_lines(reader)
    if lines is None:
        return None
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed("not a request line: %r" % lines[0])
    headers = parse_fields(lines[1:])
    length = headers.get("content-length")
    if length is not None and not length.isdigit():
        raise Malformed("Content-Length: %r" % length)
    return Request(words[0], words[1], headers, reader, writer)


async def read_response(reader):
    """Returns the status and the headers of a response."""
    lines = await read_lines(reader)
    if lines is None:
        raise Truncated("closed instead of an answer")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise Malformed("not a status line: %r" % lines[0])
    return int(words[1]), parse_fields(lines[1:])


async def read_body(reader, headers, until_close=False):
    """Yields the body of a message, framed as its headers say."""
    if (headers.get("transfer-encoding") or "").lower() == "chunked":
        while True:
            line = await _line(reader)
            try:
                left = int(line.split(b";")[0], 16)
            except ValueError:
                raise Malformed("not the size of a chunk: %r" % line) from None
            if left == 0:
                break
            async for data in _exactly(reader, left):
                yield data
            if await _line(reader):
                raise Malformed("a chunk longer than it said")
        while await _line(reader):
            pass
    elif headers.get("content-length") is not None:
        async for data in _exactly(reader, int(headers.get("content-length"))):
            yield data
    elif until_close:
        while True:
            data = await reader.read(CHUNK)
            if not data:
                return
            yield data


async def _exactly(reader, left):
    while left:
        data = await reader.read(min(left, CHUNK))
        if not data:
            raise Truncated("closed with %d bytes of a body to come" % left)
        left -= len(data)
        yield data


async def _line(reader):
    try:
        return (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.IncompleteReadError:
        raise Truncated("closed within a body") from None


async def serve_connection(reader, writer, handle, make_answer=Answer):
    """Handles the requests of one connection, one after the other."""
    writer.transport.set_write_buffer_limits(high=BUFFER)
    try:
        while True:
            request = await read_request(reader, writer)
            if request is None:
                return
            answer = make_answer(request, writer)
            await handle(request, answer)
            if not answer.complete:
                return
            if not await request.chunks.skip():
                return
            if (request.headers.get("connection") or "").lower() == "close":
                return
    except Malformed as wrong:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                     % (len(str(wrong)), str(wrong).encode("latin-1", "replace")))
        raise
    except (Truncated, ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def serve(handle_connection):
    """Returns the factory of protocols that calls handle_connection(reader, writer) for each connection."""
    def factory():
        loop = asyncio.get_event_loop()
        return asyncio.StreamReaderProtocol(Reader(loop), handle_connection, loop=loop)
    return factory
