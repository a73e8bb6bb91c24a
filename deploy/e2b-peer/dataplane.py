"""The way into sandboxes: which one and which port a request means, the daemon's rules, and the bytes both ways."""

import asyncio
import re
from urllib.parse import parse_qs

import contract
import frames
import http1
from contract import Violation
from control import json_body
from sandboxes import ENVD_PORT

UNARY_LIMIT = 128 * 1024 * 1024
END_SECONDS = 1
INTERNAL = {"/init", "/freeze", "/unfreeze", "/collapse", "/fsfreeze", "/fsthaw", "/upgrade"}
HOST = re.compile(r"([0-9]+)-([a-z0-9]+)(-[a-z0-9]+)?\.")


class BadAddress(Violation):
    """Answered in plain text, as by the proxy in front of sandboxes."""


def address(headers):
    """Returns the id and the port that a request is for, or None when it is for the control API."""
    sandbox_id, port = headers.get("e2b-sandbox-id"), headers.get("e2b-sandbox-port")
    if sandbox_id is None and port is None:
        named = HOST.match(headers.get("host", ""))
        return (named.group(2), int(named.group(1))) if named else None
    if sandbox_id is None or port is None:
        raise BadAddress("missing header: E2b-Sandbox-Id and E2b-Sandbox-Port belong together")
    if not re.fullmatch("[a-z0-9]+", sandbox_id):
        raise BadAddress("Invalid sandbox ID: %r" % sandbox_id)
    if not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise BadAddress("Invalid sandbox port: %r" % port)
    return sandbox_id, int(port)


class DataPlane:
    """Passes requests on to the daemon or a program of a sandbox, once they are as the contract wants them."""

    def __init__(self, all_sandboxes):
        self.sandboxes = all_sandboxes

    async def handle(self, request, answer, sandbox_id, port):
        sandbox = self.sandboxes.all.get(sandbox_id)
        if sandbox is None or sandbox.state != "running":
            if sandbox is not None and sandbox.state == "pausing":
                await answer.send(409, json_body({
                    "message": "The sandbox is still transitioning. Try again in a moment.", "code": 409}), JSON)
                return
            await not_found(answer, sandbox_id)
            return
        if port != ENVD_PORT:
            if sandbox.traffic_token not in (None, request.headers.get("e2b-traffic-access-token")):
                await answer.send(403, json_body({
                    "sandboxId": sandbox_id, "message": "Missing or invalid traffic access token", "code": 403}), JSON)
                return
            await self._to_program(request, answer, sandbox, port)
            return
        if request.path in INTERNAL or request.path.startswith("/_peer/"):
            await answer.send(404, json_body(
                {"message": "The endpoint is not available", "path": request.path, "code": 404}), JSON)
            return
        query = parse_qs(request.query, keep_blank_values=True)
        if not await self._let_in(request, answer, sandbox, query):
            return
        call = contract.CALLS.get(request.path)
        if call is not None:
            body = await self._checked_call(request, answer, *call)
            if body is None:
                return
        else:
            body = await self._checked_rest(request, query)
        try:
            reader, writer = await sandbox.open()
        except OSError:
            await not_found(answer, sandbox_id)
            return
        await self._exchange(request, answer, sandbox, reader, writer, body)

    async def _let_in(self, request, answer, sandbox, query):
        """The daemon's own look at the token; a signature may stand for it where files are meant."""
        token = request.headers.get("x-access-token")
        if token == sandbox.access_token or request.path == "/health":
            return True
        if token is None and request.path == "/files" and "signature" in query:
            return True  # the daemon checks it
        await answer.send(401, json_body({"code": 401, "message": "unauthenticated"}), JSON)
        if token is None:
            raise Violation("X-Access-Token: missing")
        return False

    async def _checked_call(self, request, answer, kind, schema):
        """Returns what to send on as the body, or None when the call was answered already."""
        headers = request.headers
        if request.method != "POST":
            await answer.send(405, b"", [("Allow", "POST")])
            raise Violation("%s %s (expected: POST)" % (request.method, request.path))
        try:
            contract.check_call_headers(headers, kind)
        except Violation as wrong:
            if contract.media_type(headers) not in ("application/json", "application/connect+json"):
                await answer.send(415, b"", [("Accept-Post", "application/json, application/connect+json")])
            else:
                await self._refuse(answer, kind, str(wrong))
            raise
        if kind == contract.CLIENT_STREAM:
            return self._checked_stream(request, schema)
        body = await request.body(UNARY_LIMIT)
        try:
            if body is None:
                raise Violation("body: more than %d bytes" % UNARY_LIMIT)
            if kind == contract.UNARY:
                contract.check_unary(body, schema)
            else:
                contract.check_single_frame(body, schema)
        except Violation as wrong:
            await self._refuse(answer, kind, str(wrong))
            raise
        return body

    async def _refuse(self, answer, kind, message):
        """invalid_argument, in the shape that Connect gives it for the kind of call."""
        if kind == contract.UNARY:
            await answer.send(400, json_body({"code": "invalid_argument", "message": message}), JSON)
        else:
            await answer.send(200, frames.error("invalid_argument", message),
                              [("Content-Type", "application/connect+json")])

    async def _checked_stream(self, request, schema):
        """Yields a client's stream message by message, the first of which has to say what it is for."""
        splitter = frames.Splitter()
        first = True
        async for data in request.chunks:
            try:
                whole = splitter.feed(data)
            except frames.BadFrame as wrong:
                raise Violation(str(wrong)) from None
            for one in whole:
                value = contract.check_frame(one, schema)
                if first and "start" not in value:
                    contract.fail("", sorted(value), "start in the first message")
                first = False
                yield one
        if splitter.rest:
            raise Violation("%d bytes behind the last message (expected: none)" % len(splitter.rest))

    async def _checked_rest(self, request, query):
        headers = request.headers
        expected = contract.REST.get((request.method, request.path))
        if expected is None:
            raise Violation("%s %s (expected: a call of the daemon)" % (request.method, request.path))
        contract.check_query(query, *expected)
        if request.headers.get("authorization") is not None:
            contract.check_basic(request.headers.get("authorization"))
        if request.path == "/files/compose":
            body = await request.body(UNARY_LIMIT)
            if contract.media_type(headers) != "application/json":
                raise Violation("Content-Type: %r (expected: application/json)" % headers.get("content-type"))
            contract.check_json(headers, body, contract.COMPOSE)
            return body
        if request.method == "POST":
            contract.check_upload(headers, query)
            return request.chunks
        if not request.chunks.empty:
            raise Violation("a body (expected: none)")
        return b""

    async def _to_program(self, request, answer, sandbox, port):
        try:
            reader, writer = await sandbox.open()
            writer.write(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port)
            status, _ = await http1.read_response(reader)
        except (OSError, http1.Truncated):
            await not_found(answer, sandbox.id)
            return
        if status != 200:
            writer.close()
            await answer.send(502, json_body({
                "sandboxId": sandbox.id, "message": "The sandbox is running but port is not open", "port": port,
                "code": 502}), JSON)
            return
        body = request.chunks if not request.chunks.empty else b""
        await self._exchange(request, answer, sandbox, reader, writer, body)

    async def _exchange(self, request, answer, sandbox, reader, writer, body):
        """Sends the request on, and what comes back to the client."""
        request.upstream = writer.transport
        fields = request.headers.without(http1.HOP_BY_HOP | {"expect"})
        upgrade = request.headers.get("upgrade")
        fields.append(("Connection", "Upgrade" if upgrade else "close"))
        whole = isinstance(body, bytes)
        if whole:
            if body or request.method not in ("GET", "HEAD"):
                fields.append(("Content-Length", str(len(body))))
        elif request.headers.get("content-length") is not None:
            fields.append(("Content-Length", request.headers.get("content-length")))
        else:
            fields.append(("Transfer-Encoding", "chunked"))
        head = ["%s %s HTTP/1.1" % (request.method, request.target)] + ["%s: %s" % field for field in fields]
        sending = None
        try:
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
            if whole:
                writer.write(body)
                await writer.drain()
            else:
                chunked = request.headers.get("content-length") is None
                sending = asyncio.ensure_future(send_body(writer, body, chunked))
            await request.until_gone(self._answer(request, answer, reader, writer, sending))
        except (http1.Truncated, ConnectionError):
            if answer.started or request.reader.gone.is_set():
                raise
            await not_found(answer, sandbox.id)  # it ended meanwhile
        finally:
            if sending is not None:
                # The answer may come before the end of the body has been seen.
                await asyncio.wait({sending}, timeout=END_SECONDS)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            writer.close()

    async def _answer(self, request, answer, reader, writer, sending):
        reading = asyncio.ensure_future(http1.read_response(reader))
        if sending is not None:
            # Whichever comes first: the daemon may refuse a body that has not come yet.
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() and not reading.done():
                reading.cancel()
                await self._refuse_stream(answer, sending.exception())
        status, headers = await reading
        while status == 100:
            status, headers = await http1.read_response(reader)
        if status == 101:
            await self._switch(request, answer, headers, reader, writer)
            return
        fields = headers.without(http1.HOP_BY_HOP)
        length = headers.get("content-length")
        if length is not None:
            fields.append(("Content-Length", length))
        bodiless = request.method == "HEAD" or status in (204, 304)
        await answer.start(status, fields, chunked=length is None and not bodiless)
        if not bodiless:
            async for data in http1.read_body(reader, headers, until_close=True):
                await answer.write(data)
        await answer.finish()

    async def _refuse_stream(self, answer, failed):
        """What was wrong within a client's stream ends the stream that answers it."""
        if isinstance(failed, Violation):
            await self._refuse(answer, contract.CLIENT_STREAM, str(failed))
        raise failed

    async def _switch(self, request, answer, headers, reader, writer):
        """From here on the bytes are no longer HTTP."""
        await answer.start(101, headers.fields, chunked=False)

        async def back():
            while True:
                data = await reader.read(http1.CHUNK)
                if not data:
                    return
                await answer.write(data)

        async def forth():
            while True:
                data = await request.reader.read(http1.CHUNK)
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        both = [asyncio.ensure_future(back()), asyncio.ensure_future(forth())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)


async def not_found(answer, sandbox_id):
    body = {"sandboxId": sandbox_id, "message": "The sandbox was not found", "code": 502}
    await answer.send(502, json_body(body), JSON)


async def send_body(writer, body, chunked):
    async for data in body:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


JSON = [("Content-Type", "application/json")]
