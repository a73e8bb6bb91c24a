"""The daemon in a sandbox, and its first process: sets the sandbox up, then serves processes and files."""

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import time
from urllib.parse import parse_qs

import connect
import contract
import frames
import http1
import users
from connect import CallError
from filesystem import Filesystem
from processes import KEEPALIVE, Processes
from transfers import RestError, Transfers

KEEPALIVE_SECONDS = 90
LIMIT = 256 * 1024 * 1024
JSON = [("Content-Type", "application/json")]
STREAM = [("Content-Type", "application/connect+json")]
PASSWD = "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n" \
         "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n"
MS_REC, MS_BIND, MS_PRIVATE, MS_NOSUID, MS_NODEV = 1 << 14, 1 << 12, 1 << 18, 2, 4


def mount(source, target, kind=None, flags=0, data=None):
    libc = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() if word is not None else None for word in (source, target, kind, data)]
    if libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]):
        number = ctypes.get_errno()
        raise OSError(number, "mount %s: %s" % (target, os.strerror(number)))


def set_up(config):
    """Gives the sandbox folders, users, terminals and a loopback interface of its own."""
    mount("proc", "/proc", "proc")
    for folder, mode in (("/home", "755"), ("/root", "700"), ("/opt", "755"), ("/run", "755"), ("/tmp", "1777"),
                         ("/var/tmp", "1777"), ("/dev/shm", "1777")):
        mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV,
              "mode=%s,size=%dm,uid=0,gid=0" % (mode, config["diskMb"]))
    mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620,gid=5")
    os.mkdir("/home/user", 0o755)
    os.chown("/home/user", 1000, 1000)
    os.mkdir("/run/e2b", 0o755)
    for name, text in (("passwd", PASSWD), ("group", GROUP)):
        write("/run/e2b/" + name, text)
        mount("/run/e2b/" + name, "/etc/" + name, None, MS_BIND)
    for name, text in environment(config).items():
        if name.startswith("E2B_"):
            write("/run/e2b/." + name, text)
    socket.sethostname("e2b.local")
    raise_loopback()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def raise_loopback():
    up = 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", up))  # SIOCSIFFLAGS


def environment(config):
    return {**config["envs"], "E2B_SANDBOX": "true", "E2B_SANDBOX_ID": config["id"],
            "E2B_TEMPLATE_ID": config["template"]}


class Daemon:
    """Answers the calls that reach the sandbox."""

    def __init__(self, config):
        self.config = config
        self.environment = environment(config)
        self.processes = Processes(self.environment, config["exitMemory"])
        self.filesystem = Filesystem()
        self.transfers = Transfers(config["token"])
        self.cpu = (time.monotonic(), 0.0)
        self.unary = {
            "/process.Process/List": lambda request, user: {"processes": self.processes.list()},
            "/process.Process/Update": self.update,
            "/process.Process/SendInput": self.send_input,
            "/process.Process/SendSignal": self.send_signal,
            "/process.Process/CloseStdin": self.close_stdin,
            **self.filesystem.unary(),
        }

    async def connected(self, reader, writer):
        await http1.serve_connection(reader, writer, self.handle)

    async def handle(self, request, answer):
        if request.method == "CONNECT":
            await self.tunnel(request, answer)
        elif request.path in contract.CALLS:
            await self.call(request, answer)
        else:
            await self.rest(request, answer)

    # --- Calls by Connect ---

    async def call(self, request, answer):
        kind = contract.CALLS[request.path][0]
        try:
            user = users.find(basic_user(request.headers))
            if kind == contract.UNARY:
                value = self.unary[request.path](json.loads(await request.body(LIMIT)), user)
                if asyncio.iscoroutine(value):
                    value = await value
                await answer.send(200, dump(value), JSON)
            elif kind == contract.CLIENT_STREAM:
                await self.stream_input(request, answer)
            else:
                message = frames.parse(await request.body(LIMIT))
                handle = {"Start": self.start, "Connect": self.connect, "WatchDir": self.watch}[
                    request.path.rpartition("/")[2]]
                await handle(message, user, request, answer)
        except users.UnknownUser as wrong:
            await self.fail(kind, answer, CallError("unauthenticated", str(wrong)))
        except CallError as failed:
            await self.fail(kind, answer, failed)

    async def fail(self, kind, answer, failed):
        if kind == contract.UNARY:
            body = dump({"code": failed.code, "message": failed.message})
            await answer.send(connect.STATUSES[failed.code], body, JSON)
            return
        if not answer.started:
            await answer.start(200, STREAM)
        await answer.write(frames.error(failed.code, failed.message))
        await answer.finish()

    async def start(self, message, user, request, answer):
        process = self.processes.start(message, user)
        subscriber = process.subscribe()
        asyncio.ensure_future(self.processes.follow(process))
        deadline = deadline_of(request)
        if deadline is not None:
            asyncio.get_event_loop().call_later(deadline, self.processes.expire, process)
        await self.show(process, subscriber, deadline, request, answer)

    async def connect(self, message, user, request, answer):
        process = self.processes.select(message["process"])
        subscriber = process.subscribe()
        if process.end is not None:
            subscriber.events.put_nowait({"end": process.end})
        await self.show(process, subscriber, deadline_of(request), request, answer)

    async def show(self, process, subscriber, deadline, request, answer):
        """Sends the events of a process until its end, the deadline, or the client's going."""
        async def send():
            await answer.start(200, STREAM)
            await answer.write(frames.frame({"event": {"start": {"pid": process.pid}}}))
            while True:
                event = await next_event(subscriber.events, keepalive_of(request), KEEPALIVE)
                await answer.write(frames.frame({"event": event}))
                if "end" in event:
                    break
            await answer.write(frames.frame({}, frames.END))
            await answer.finish()

        try:
            await request.until_gone(asyncio.wait_for(send(), deadline))
        except asyncio.TimeoutError:
            raise CallError("deadline_exceeded", "context deadline exceeded") from None
        finally:
            process.unsubscribe(subscriber)

    async def watch(self, message, user, request, answer):
        watch = self.filesystem.watch(message, user)

        async def send():
            await answer.start(200, STREAM)
            await answer.write(frames.frame({"start": {}}))
            while True:
                event = await next_event(watch.events, keepalive_of(request), KEEPALIVE)
                await answer.write(frames.frame(event if event is KEEPALIVE else {"filesystem": event}))

        try:
            await request.until_gone(asyncio.wait_for(send(), deadline_of(request)))
        except asyncio.TimeoutError:
            raise CallError("deadline_exceeded", "context deadline exceeded") from None
        finally:
            watch.close()

    async def stream_input(self, request, answer):
        splitter = frames.Splitter()
        process = None
        async for data in request.chunks:
            for whole in splitter.feed(data):
                message = frames.parse(whole)
                if "start" in message:
                    process = self.processes.running(message["start"]["process"])
                elif "data" in message:
                    await self.write_input(process, message["data"]["input"])
        await answer.send(200, frames.frame({}) + frames.frame({}, frames.END), STREAM)

    async def send_input(self, message, user):
        await self.write_input(self.processes.running(message["process"]), message["input"])
        return {}

    @staticmethod
    async def write_input(process, message):
        (kind, encoded), = message.items()
        await process.write(kind, contract.base64.b64decode(encoded))

    async def close_stdin(self, message, user):
        await self.processes.running(message["process"]).close_stdin()
        return {}

    def send_signal(self, message, user):
        self.processes.signal(self.processes.running(message["process"]), message["signal"])
        return {}

    def update(self, message, user):
        process = self.processes.running(message["process"])
        if "pty" in message:
            process.resize(message["pty"]["size"])
        return {}

    # --- REST ---

    async def rest(self, request, answer):
        call = (request.method, request.path)
        query = {name: values[0] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        try:
            if call == ("GET", "/health"):
                await answer.send(204)
            elif call == ("GET", "/metrics"):
                await answer.send(200, dump(self.metrics()), JSON)
            elif call == ("GET", "/envs"):
                await answer.send(200, dump(self.environment), JSON)
            elif call == ("POST", "/_peer/stop"):
                stop_all()
                await answer.send(204)
            elif call == ("POST", "/_peer/continue"):
                continue_all()
                await answer.send(204)
            elif request.path == "/files/compose":
                await self.transfers.compose(json.loads(await request.body(LIMIT)), answer)
            elif request.path == "/files" and request.method == "POST":
                await self.transfers.upload(request, query, answer)
            elif request.path == "/files":
                await self.transfers.download(request, query, answer)
            else:
                raise RestError(404, "not found")
        except RestError as failed:
            if answer.started:
                raise http1.Truncated(str(failed)) from None
            await answer.send(failed.status, dump({"code": failed.status, "message": str(failed)}), JSON)

    def metrics(self):
        memory = {}
        with open("/proc/meminfo") as lines:
            for line in lines:
                name, value = line.split(":")
                memory[name] = int(value.split()[0]) * 1024
        disk = os.statvfs("/home/user")
        total, used = memory["MemTotal"], memory["MemTotal"] - memory["MemAvailable"]
        return {
            "ts": int(time.time()), "cpu_count": os.cpu_count(), "cpu_used_pct": self.cpu_percent(),
            "mem_total": total, "mem_used": used, "mem_cache": memory["Cached"], "mem_total_mib": total >> 20,
            "mem_used_mib": used >> 20, "disk_used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "disk_total": disk.f_blocks * disk.f_frsize,
        }

    def cpu_percent(self):
        """The share of the processors that the sandbox's processes used since the last look."""
        used, ticks = 0.0, os.sysconf("SC_CLK_TCK")
        for pid in pids():
            try:
                with open("/proc/%d/stat" % pid) as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            used += (int(fields[11]) + int(fields[12])) / ticks
        now = time.monotonic()
        (then, before), self.cpu = self.cpu, (now, used)
        return round(max(0.0, used - before) / max(now - then, 0.001) / os.cpu_count() * 100, 2)

    async def tunnel(self, request, answer):
        """Connects to a program's port; from then on its bytes pass as they are."""
        port = int(request.target.rpartition(":")[2])
        for host in ("127.0.0.1", "::1"):
            try:
                reader, writer = await asyncio.open_connection(host, port)
                break
            except OSError:
                continue
        else:
            await answer.send(502)
            return
        await answer.start(200, [], chunked=False)
        both = [asyncio.ensure_future(copy(request.reader, writer)), asyncio.ensure_future(copy(reader, answer.writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.close()


async def copy(reader, writer):
    while True:
        data = await reader.read(http1.CHUNK)
        if not data:
            return
        writer.write(data)
        await writer.drain()


async def next_event(queue, seconds, otherwise):
    """Returns the next event, or another one when there is silence."""
    try:
        return await asyncio.wait_for(queue.get(), seconds)
    except asyncio.TimeoutError:
        return otherwise


def keepalive_of(request):
    return max(1, int(request.headers.get("keepalive-ping-interval") or KEEPALIVE_SECONDS))


def deadline_of(request):
    millis = int(request.headers.get("connect-timeout-ms") or 0)
    return millis / 1000 if millis else None


def basic_user(headers):
    authorization = headers.get("authorization")
    if authorization is None:
        return users.DEFAULT
    return contract.base64.b64decode(authorization.split(" ")[1]).decode().partition(":")[0]


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stop_all():
    try:
        os.kill(-1, signal.SIGSTOP)
    except ProcessLookupError:
        pass  # nothing runs but the daemon


def continue_all():
    # Children first: a shell that finds its child stopped would take the terminal from it.
    for pid in sorted(pids(), reverse=True):
        if pid != 1:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


async def serve(config):
    loop = asyncio.get_event_loop()
    daemon = Daemon(config)
    listening = socket.socket(fileno=config["socket"])
    listening.setblocking(False)
    await loop.create_unix_server(http1.serve(daemon.connected), sock=listening, backlog=512)
    await loop.create_future()


def main():
    config = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.chdir("/")
    os.umask(0o022)
    # Python would raise what a program sends to the first process; the kernel ignores it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    set_up(config)
    asyncio.run(serve(config))
