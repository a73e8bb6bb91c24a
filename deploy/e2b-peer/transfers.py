"""The daemon's /files: what is in a file, sent and received."""

import base64
import errno
import hashlib
import json
import mimetypes
import os
import re
import stat
import time
import zlib
from datetime import timezone
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

import http1
import users
from connect import CallError
from filesystem import METADATA, read_metadata

CHUNK = 64 * 1024
HEAD_LIMIT = 64 * 1024
METADATA_HEADER = "x-metadata-"


class RestError(Exception):
    """A REST call that failed, with its status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Transfers:
    """Sends and receives files, for whoever has the token or a signature of it."""

    def __init__(self, token):
        self.token = token

    def _user(self, request, query, operation):
        """Returns who a transfer is for, once it may be done."""
        name = query.get("username", "")
        if request.headers.get("x-access-token") != self.token:
            self._check_signature(query, operation)
        try:
            return users.find(name)
        except users.UnknownUser as unknown:
            raise RestError(401, str(unknown)) from None

    def _check_signature(self, query, operation):
        words = [query.get("path", ""), operation, query.get("username", ""), self.token]
        expiration = query.get("signature_expiration")
        if expiration is not None:
            words.append(expiration)
        digest = hashlib.sha256(":".join(words).encode()).digest()
        if query.get("signature") != "v1_" + base64.b64encode(digest).decode().rstrip("="):
            raise RestError(401, "invalid signature")
        if expiration is not None and (not expiration.isdigit() or int(expiration) < time.time()):
            raise RestError(401, "signature is already expired")

    # --- Sending ---

    async def download(self, request, query, answer):
        user = self._user(request, query, "read")
        path = resolve(query["path"], user)
        try:
            seen = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise RestError(404, "path '%s' does not exist" % path) from None
        except OSError as failed:
            raise RestError(400, "path '%s': %s" % (path, failed.strerror)) from None
        if stat.S_ISDIR(seen.st_mode):
            raise RestError(400, "path '%s' is a directory" % path)
        if not stat.S_ISREG(seen.st_mode):
            raise RestError(400, "path '%s' is not a regular file" % path)
        headers = [
            ("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream"),
            ("Content-Disposition", "inline; filename*=UTF-8''" + quote(os.path.basename(path))),
            ("Last-Modified", formatdate(seen.st_mtime, usegmt=True)), ("Vary", "Accept-Encoding"),
        ]
        headers += [("X-Metadata-" + name, value) for name, value in read_metadata(path).items()]
        if not_modified(request, seen.st_mtime):
            await answer.send(304, b"", headers)
            return
        encoding = chosen_encoding(request)
        with open(path, "rb") as file:
            if encoding == "gzip" and not request.headers.get("range"):
                await answer.start(200, headers + [("Content-Encoding", "gzip")])
                if request.method != "HEAD":
                    await send_zipped(file, answer)
                await answer.finish()
                return
            await self._send_part(request, answer, file, seen.st_size, headers)

    async def _send_part(self, request, answer, file, size, headers):
        first, last = wanted_range(request, size)
        if first is None:
            await answer.send(416, b"", [("Content-Range", "bytes */%d" % size)])
            return
        headers = headers + [("Accept-Ranges", "bytes"), ("Content-Length", str(last - first + 1))]
        partial = request.headers.get("range") is not None and last - first + 1 < size
        if partial:
            headers.append(("Content-Range", "bytes %d-%d/%d" % (first, last, size)))
        await answer.start(206 if partial else 200, headers, chunked=False)
        if request.method != "HEAD":
            file.seek(first)
            left = last - first + 1
            while left:
                data = file.read(min(CHUNK, left))
                if not data:
                    raise http1.Truncated("the file was cut meanwhile")
                left -= len(data)
                await answer.write(data)
        await answer.finish()

    # --- Receiving ---

    async def upload(self, request, query, answer):
        user = self._user(request, query, "write")
        metadata = metadata_of(request)
        chunks = request.chunks
        if request.headers.get("content-encoding") == "gzip":
            chunks = unzipped(chunks)
        kind = request.headers.get("content-type", "")
        if kind.split(";")[0].strip().lower() == "application/octet-stream":
            path = resolve(query["path"], user)
            await self._receive(path, chunks, user, metadata)
            paths = [path]
        else:
            paths = await self._receive_parts(kind, chunks, query, user, metadata)
        entries = []
        for path in paths:
            entry = {"path": path, "name": os.path.basename(path), "type": "file"}
            if metadata:
                entry["metadata"] = metadata
            entries.append(entry)
        await answer.send(200, json.dumps(entries).encode(), [("Content-Type", "application/json")])

    async def _receive_parts(self, kind, chunks, query, user, metadata):
        boundary = re.search('boundary="?([^";]+)"?', kind)
        if boundary is None:
            raise RestError(400, "error parsing multipart form: no boundary")
        paths = []
        async for headers, data in parts(chunks, boundary.group(1).encode()):
            name, filename = disposition(headers)
            if name != "file":
                async for _ in data:
                    pass
                continue
            path = resolve(query.get("path", filename), user)
            if path in paths:
                raise RestError(400, "you cannot upload multiple files to the same path '%s'" % path)
            await self._receive(path, data, user, metadata)
            paths.append(path)
        return paths

    async def _receive(self, path, chunks, user, metadata):
        if os.path.isdir(path):
            raise RestError(400, "path is a directory: %s" % path)
        try:
            users.make_parents(path, user)
            with open(path, "wb") as file:
                os.fchown(file.fileno(), user.pw_uid, user.pw_gid)
                async for data in chunks:
                    file.write(data)
            for name, value in metadata.items():
                os.setxattr(path, METADATA + name, value.encode())
        except OSError as failed:
            if failed.errno == errno.ENOSPC:
                raise RestError(507, "not enough disk space available") from None
            if isinstance(failed, ConnectionError):
                raise
            raise RestError(500, "error opening file: %s" % failed) from None

    async def compose(self, request, answer):
        try:
            user = users.find(request.get("username", ""))
        except users.UnknownUser as unknown:
            raise RestError(401, str(unknown)) from None
        destination = resolve(request["destination"], user)
        sources = [resolve(path, user) for path in request["source_paths"]]
        if not sources or destination in sources:
            raise RestError(400, "source_paths: %s (expected: files, and not the destination)" % sources)
        for path in sources:
            if not os.path.isfile(path):
                raise RestError(404, "source '%s' does not exist" % path)

        async def contents():
            for path in sources:
                with open(path, "rb") as file:
                    for data in iter(lambda: file.read(CHUNK), b""):
                        yield data

        part = destination + ".compose"
        await self._receive(part, contents(), user, {})
        os.rename(part, destination)
        for path in sources:
            os.unlink(path)
        entry = {"path": destination, "name": os.path.basename(destination), "type": "file"}
        await answer.send(200, json.dumps(entry).encode(), [("Content-Type", "application/json")])


def resolve(path, user):
    try:
        return users.resolve(path, user)
    except CallError as failed:
        raise RestError(400, failed.message) from None


def not_modified(request, modified):
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError):
        return False


def chosen_encoding(request):
    """gzip where the client takes it, identity unless it says that it does not."""
    accepted = {}
    for word in (request.headers.get("accept-encoding") or "identity").split(","):
        name, _, quality = word.strip().lower().partition(";q=")
        accepted[name] = float(quality or 1)
    if accepted.get("gzip"):
        return "gzip"
    if not accepted.get("identity", accepted.get("*", 1)):
        raise RestError(406, "no acceptable encoding, supported: identity, gzip")
    return "identity"


def wanted_range(request, size):
    """Returns the first and the last byte that are asked for; None when there are none such."""
    match = re.fullmatch("bytes=([0-9]*)-([0-9]*)", request.headers.get("range") or "")
    if match is None or match.group(0) == "bytes=-":
        return 0, size - 1
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if size and int(last) else (None, None)
    if int(first) >= size:
        return None, None
    return int(first), min(int(last), size - 1) if last else size - 1


def metadata_of(request):
    return {name[len(METADATA_HEADER):].lower(): value for name, value in request.headers.fields
            if name.lower().startswith(METADATA_HEADER)}


async def send_zipped(file, answer):
    zipper = zlib.compressobj(1, zlib.DEFLATED, 31)
    for data in iter(lambda: file.read(CHUNK), b""):
        await answer.write(zipper.compress(data))
    await answer.write(zipper.flush())


async def unzipped(chunks):
    unzipper = zlib.decompressobj(31)
    try:
        async for data in chunks:
            yield unzipper.decompress(data)
    except zlib.error as wrong:
        raise RestError(400, "error decompressing request body: %s" % wrong) from None
    if not unzipper.eof:
        raise RestError(400, "error decompressing request body: it ends too early")


def disposition(headers):
    text = headers.get("content-disposition") or ""
    found = {name: value for name, value in re.findall('([a-z]+)="((?:[^"\\\\]|\\\\.)*)"', text)}
    return found.get("name"), re.sub(r"\\(.)", r"\1", found.get("filename", ""))


async def parts(chunks, boundary):
    """Yields the headers of each part of a form, and an iterator over what is in it."""
    form = Form(chunks, b"\r\n--" + boundary)
    await form.skip_to_first()
    while not await form.at_end():
        yield await form.head(), form.content()


class Form:
    """Reads a multipart body in pieces, however they are cut."""

    def __init__(self, chunks, delimiter):
        self.chunks = chunks
        self.delimiter = delimiter
        self.buffer = bytearray(b"\r\n")

    async def _more(self):
        try:
            self.buffer += await self.chunks.__anext__()
        except StopAsyncIteration:
            raise RestError(500, "error reading form: unexpected end") from None

    async def _until(self, word):
        while True:
            at = self.buffer.find(word)
            if at >= 0:
                return at
            if len(self.buffer) > HEAD_LIMIT:
                raise RestError(400, "error reading form: a head that is too long")
            await self._more()

    async def skip_to_first(self):
        at = await self._until(self.delimiter)
        del self.buffer[:at + len(self.delimiter)]

    async def at_end(self):
        while len(self.buffer) < 2:
            await self._more()
        return self.buffer[:2] == b"--"

    async def head(self):
        at = await self._until(b"\r\n\r\n")
        lines = self.buffer[:at].decode("utf-8", "replace").split("\r\n")
        # The line break stays: the delimiter of an empty part begins with it.
        del self.buffer[:at + 2]
        return http1.parse_fields([line for line in lines if line])

    async def content(self):
        while len(self.buffer) < len(self.delimiter):
            await self._more()
        if not self.buffer.startswith(self.delimiter):
            del self.buffer[:2]
        while True:
            at = self.buffer.find(self.delimiter)
            # What may be the beginning of a delimiter is kept.
            end = at if at >= 0 else len(self.buffer) - len(self.delimiter)
            if end > 0:
                data = bytes(self.buffer[:end])
                del self.buffer[:end]
                yield data
            if at >= 0:
                del self.buffer[:len(self.delimiter)]
                return
            await self._more()
