#!/usr/bin/env python3
"""A server that speaks E2B's protocol, backed by real processes, for tests of what drives E2B.

Run it inside deploy/lib/in-namespace. Prints "listening on 127.0.0.1:PORT" and serves until SIGTERM, or until its
standard input ends; then all its sandboxes end. See README.md for the test controls under /_peer/.
"""

import argparse
import asyncio
import collections
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.append(os.path.dirname(os.path.abspath(__file__)))

import json  # noqa: E402

import http1  # noqa: E402
from contract import Violation  # noqa: E402
from control import PATHS, Control, json_body  # noqa: E402
from dataplane import BadAddress, DataPlane, address  # noqa: E402
from faults import Faults, FaultyAnswer, Rule  # noqa: E402
from sandboxes import Refused, Sandboxes, timestamp  # noqa: E402

KEPT = 10000
CONTROL_LIMIT = 1024 * 1024
JSON = [("Content-Type", "application/json")]


class Live:
    """A request that is being handled: what cuts find it by."""

    def __init__(self, request, answer):
        self.request = request
        self.answer = answer
        self.sandbox = None

    def cut(self):
        self.request.writer.transport.abort()

    def end(self):
        """Ends what its sandbox does for it: an answer that has begun is cut, another says that there is none."""
        if self.answer.started:
            self.cut()
        elif self.request.upstream is not None:
            self.request.upstream.abort()


class Peer:
    """Takes every connection and says who handles a request; keeps what tests ask about."""

    def __init__(self, options):
        self.sandboxes = Sandboxes(options, self.end_connections)
        self.control = Control(options.key, self.sandboxes)
        self.data_plane = DataPlane(self.sandboxes)
        self.faults = Faults()
        self.requests = collections.deque(maxlen=KEPT)
        self.violations = collections.deque(maxlen=KEPT)
        self.live = set()

    async def connected(self, reader, writer):
        try:
            await http1.serve_connection(reader, writer, self.handle)
        except http1.Malformed as wrong:
            self.record_violation("", "", None, str(wrong))
        except Exception:
            traceback.print_exc()

    async def handle(self, request, answer):
        if request.path.startswith("/_peer/"):
            await self.test_control(request, answer)
            return
        live = Live(request, answer)
        self.live.add(live)
        try:
            await self.handle_live(request, answer, live)
        finally:
            self.live.discard(live)

    async def handle_live(self, request, answer, live):
        seen = {"method": request.method, "path": request.path, "query": request.query,
                "sandbox": request.headers.get("e2b-sandbox-id"), "time": timestamp(time.time())}
        self.requests.append(seen)
        rule = self.faults.take(request.method, request.path)
        spoilt = answer
        if rule is not None:
            if rule.kind == "drop_request":
                return
            if rule.kind == "status":
                await self.send_fault(answer, rule)
                return
            if rule.kind == "delay":
                await asyncio.sleep(rule.get("ms") / 1000)
            spoilt = live.answer = FaultyAnswer(request, request.writer, rule)
        try:
            await self.route(request, spoilt, live)
        finally:
            answer.complete = spoilt.complete

    async def route(self, request, answer, live):
        """Finds who handles a request; what breaks the contract is recorded, however it was answered."""
        try:
            target = address(request.headers)
            if target is not None:
                live.sandbox = target[0]
                await self.data_plane.handle(request, answer, *target)
            elif request.path == "/health" or PATHS.fullmatch(request.path):
                await self.control.handle(request, answer)
            else:
                raise BadAddress("missing header: E2b-Sandbox-Id")
        except Violation as wrong:
            self.record_violation(request.method, request.path, live.sandbox, str(wrong))
            if not answer.started:
                await self.send_violation(answer, wrong)
        except Refused as refused:
            await answer.send(refused.status, json_body({"code": refused.status, "message": refused.message}), JSON)

    async def send_violation(self, answer, wrong):
        if isinstance(wrong, BadAddress):
            await answer.send(400, str(wrong).encode(), [("Content-Type", "text/plain")])
            return
        status = 401 if str(wrong).startswith("X-API-Key") else 400
        await answer.send(status, json_body({"code": status, "message": str(wrong)}), JSON)

    async def send_fault(self, answer, rule):
        status, body = rule.get("status"), rule.get("body")
        if body is None:
            body = {"code": status, "message": http1.REASONS.get(status, "fault")}
        headers = [(name, str(value)) for name, value in rule.get("headers", {}).items()]
        if not isinstance(body, str):
            headers += JSON
            body = json.dumps(body)
        await answer.send(status, body.encode(), headers)

    def record_violation(self, method, path, sandbox, reason):
        self.violations.append({"method": method, "path": path, "sandbox": sandbox, "reason": reason,
                                "time": timestamp(time.time())})

    def end_connections(self, sandbox_id):
        for live in list(self.live):
            if live.sandbox == sandbox_id:
                live.end()

    async def test_control(self, request, answer):
        body = await request.body(CONTROL_LIMIT)
        call = (request.method, request.path)
        kill = re.fullmatch("/_peer/kill/([^/]+)", request.path)
        try:
            status, value = 200, {}
            if call == ("GET", "/_peer/violations"):
                value = list(self.violations)
            elif call == ("DELETE", "/_peer/violations"):
                self.violations.clear()
            elif call == ("GET", "/_peer/requests"):
                value = list(self.requests)
            elif call == ("POST", "/_peer/faults"):
                value = self.add_fault(Rule(json.loads(body)))
            elif call == ("GET", "/_peer/faults"):
                value = [{**rule.settings, "times": rule.left} for rule in self.faults.rules if rule.left]
            elif call == ("DELETE", "/_peer/faults"):
                self.faults.rules.clear()
            elif call == ("GET", "/_peer/sandboxes"):
                value = [self.describe(one) for one in self.sandboxes.all.values()]
            elif kill and request.method == "POST":
                await self.sandboxes.kill(self.sandboxes.find(kill.group(1)), "unknown")
            else:
                status, value = 404, {"message": "no such test control"}
        except (ValueError, re.error) as wrong:
            status, value = 400, {"message": str(wrong)}
        except Refused as refused:
            status, value = refused.status, {"message": refused.message}
        await answer.send(status, json_body(value), JSON)

    def add_fault(self, rule):
        if rule.kind != "cut_now":
            self.faults.rules.append(rule)
            return {}
        met = [live for live in self.live if rule.fits(live.request.method, live.request.path)]
        for live in met:
            live.cut()
        return {"cut": len(met)}

    @staticmethod
    def describe(sandbox):
        return {"id": sandbox.id, "state": sandbox.state, "metadata": sandbox.metadata,
                "template": sandbox.template, "startedAt": timestamp(sandbox.started_at),
                "endAt": timestamp(sandbox.end_at), "executionMillis": int(sandbox.execution_time() * 1000),
                "network": sandbox.network, "pid": sandbox.init_pid}


async def serve(options):
    loop = asyncio.get_event_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGINT, ended.set)

    def read_stdin():
        if not os.read(0, 4096):
            ended.set()
            loop.remove_reader(0)

    try:
        loop.add_reader(0, read_stdin)
    except PermissionError:
        ended.set()  # a file or /dev/null, which has ended already
    peer = Peer(options)
    server = await loop.create_server(http1.serve(peer.connected), "127.0.0.1", options.port, backlog=1024)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()
    for live in list(peer.live):
        live.cut()
    await peer.sandboxes.close()


def main():
    parser = argparse.ArgumentParser(description="Speaks E2B's protocol on a port of the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", required=True, help="the API key that clients have to show")
    parser.add_argument("--max-sandboxes", type=int, default=100, help="how many may run at once")
    parser.add_argument("--max-session", type=float, default=86400, help="seconds that a sandbox may run in one piece")
    parser.add_argument("--exit-memory", type=float, default=30, help="seconds for which an exit can be asked for")
    parser.add_argument("--scratch", help="a folder for sockets; a temporary one by default")
    options = parser.parse_args()
    made = None
    if options.scratch is None:
        made = options.scratch = tempfile.mkdtemp(prefix="e2b-peer-")
    os.makedirs(options.scratch, exist_ok=True)
    try:
        asyncio.run(serve(options))
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main()
