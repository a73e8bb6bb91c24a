"""Sandboxes: namespaces with a daemon in them, their lives, and the record of those."""

import asyncio
import json
import os
import secrets
import signal
import socket
import string
import sys
import time
from datetime import datetime, timezone

import http1

HERE = os.path.dirname(os.path.abspath(__file__))
ENVD_PORT = 49983
ENVD_VERSION = "0.6.13"
CPU_COUNT = 2
MEMORY_MB = 512
DISK_MB = 1024
ALPHABET = string.ascii_lowercase + string.digits
START_SECONDS = 30


class Refused(Exception):
    """A call that is answered with an error, as E2B words it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


def timestamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id():
    return "i" + "".join(secrets.choice(ALPHABET) for _ in range(20))


class Sandbox:
    """One sandbox: what was asked for, the process that holds its namespaces, and its state."""

    def __init__(self, settings, scratch, exit_memory):
        self.id = new_id()
        self.settings = settings
        self.access_token = secrets.token_hex(32)
        # What opens the ports of its programs, where they are not open to everybody.
        public = settings.get("network", {}).get("allowPublicTraffic", True)
        self.traffic_token = None if public else secrets.token_hex(32)
        self.scratch = scratch
        self.exit_memory = exit_memory
        self.network = settings.get("network")
        self.internet = settings.get("allow_internet_access")
        self.state = "starting"
        self.started_at = time.time()
        self.end_at = self.started_at
        # When it last began to run, and the whole running time before that.
        self.running_since = self.started_at
        self.ran = 0.0
        self.execution_id = secrets.token_hex(16)
        self.timer = None
        self.process = None
        self.init_pid = None
        self.directory = os.open(scratch, os.O_RDONLY)

    @property
    def template(self):
        return self.settings["templateID"]

    @property
    def metadata(self):
        return self.settings.get("metadata", {})

    def _socket(self):
        # Through the folder's descriptor: the name of a socket may have 107 bytes only.
        return "/proc/self/fd/%d/%s" % (self.directory, self.id)

    async def start(self):
        """Starts the daemon in namespaces of its own, and waits until it answers."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(self._socket())
        listening.listen(512)
        config = {
            "id": self.id, "template": self.template, "envs": self.settings.get("envVars", {}),
            "token": self.access_token, "exitMemory": self.exit_memory, "socket": listening.fileno(),
            "diskMb": DISK_MB, "version": ENVD_VERSION,
        }
        with listening:
            self.process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount", "--net",
                "--ipc", "--uts", "--propagation", "private", sys.executable, "-I", "-S", "-X",
                "pycache_prefix=" + os.path.join(self.scratch, "pycache"), "-c",
                "import sys; sys.path.append(%r); import envd; envd.main()" % HERE,
                stdin=asyncio.subprocess.PIPE, pass_fds=(listening.fileno(),))
        self.process.stdin.write(json.dumps(config).encode())
        self.process.stdin.close()
        await asyncio.wait_for(self.ask("GET", "/health"), START_SECONDS)
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as children:
            self.init_pid = int(children.read().split()[0])
        self.state = "running"

    async def open(self):
        """Opens a connection to the daemon."""
        loop = asyncio.get_event_loop()
        reader = http1.Reader(loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_unix_connection(lambda: protocol, self._socket())
        transport.set_write_buffer_limits(high=http1.BUFFER)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def ask(self, method, path):
        """Calls the daemon on the peer's own account; returns the status and the body."""
        reader, writer = await self.open()
        try:
            writer.write(("%s %s HTTP/1.1\r\nHost: envd\r\nX-Access-Token: %s\r\nX-Peer: yes\r\n\r\n"
                          % (method, path, self.access_token)).encode())
            status, headers = await http1.read_response(reader)
            body = bytearray()
            async for data in http1.read_body(reader, headers):
                body += data
            return status, bytes(body)
        finally:
            writer.close()

    async def stop_processes(self):
        """Stops every process, the daemon last."""
        await self.ask("POST", "/_peer/stop")
        os.kill(self.init_pid, signal.SIGSTOP)

    async def continue_processes(self):
        os.kill(self.init_pid, signal.SIGCONT)
        await self.ask("POST", "/_peer/continue")

    async def destroy(self):
        """Ends all that runs in it; the namespaces end with their first process."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        try:
            os.unlink(self._socket())
        except FileNotFoundError:
            pass
        os.close(self.directory)

    def execution_time(self):
        running = time.time() - self.running_since if self.state == "running" else 0
        return self.ran + running


class Sandboxes:
    """All sandboxes of the peer, and the events of their lives."""

    def __init__(self, options, cut):
        self.scratch = options.scratch
        self.most = options.max_sandboxes
        self.exit_memory = options.exit_memory
        self.max_session = options.max_session
        # Called with the id of a sandbox whose connections end.
        self.cut = cut
        self.all = {}
        self.starting = 0
        self.events = []

    def find(self, sandbox_id):
        # A client's id may follow the sandbox's own.
        found = self.all.get(sandbox_id.split("-")[0])
        if found is None:
            raise Refused(404, "Sandbox \"%s\" doesn't exist or you don't have access to it" % sandbox_id)
        return found

    def running(self):
        return len([one for one in self.all.values() if one.state == "running"])

    def _make_room(self):
        if self.running() + self.starting >= self.most:
            raise Refused(429, "you have reached the maximum number of concurrent E2B sandboxes (%d). "
                               "End one, or ask for a higher limit." % self.most)

    async def create(self, settings, timeout):
        self._make_room()
        sandbox = Sandbox(settings, self.scratch, self.exit_memory)
        self.starting += 1
        try:
            await sandbox.start()
        except BaseException:
            await sandbox.destroy()
            raise
        finally:
            self.starting -= 1
        self.all[sandbox.id] = sandbox
        sandbox.running_since = sandbox.started_at = time.time()
        self._begin_session(sandbox, timeout)
        self._record(sandbox, "created")
        asyncio.ensure_future(self._watch(sandbox))
        return sandbox

    async def _watch(self, sandbox):
        """Notices a sandbox that ends by itself."""
        await sandbox.process.wait()
        await self.kill(sandbox, "unknown")

    def set_end(self, sandbox, end):
        if sandbox.timer is not None:
            sandbox.timer.cancel()
        sandbox.end_at = end
        sandbox.timer = asyncio.get_event_loop().call_later(
            max(0.0, end - time.time()), lambda: asyncio.ensure_future(self._expire(sandbox)))

    def _begin_session(self, sandbox, timeout):
        self.set_end(sandbox, sandbox.running_since + timeout)
        asyncio.get_event_loop().call_later(
            self.max_session,
            lambda session=sandbox.execution_id: asyncio.ensure_future(self._end_session(sandbox, session)))

    async def _end_session(self, sandbox, execution_id):
        """However long its timeout is, a sandbox runs no longer than that in one piece."""
        if sandbox.state == "running" and sandbox.execution_id == execution_id:
            await self.kill(sandbox, "timeout")

    async def _expire(self, sandbox):
        if sandbox.state != "running":
            return
        if sandbox.settings.get("autoPause"):
            await self.pause(sandbox)
        else:
            await self.kill(sandbox, "timeout")

    async def pause(self, sandbox):
        if sandbox.state != "running":
            raise Refused(409, "Error pausing sandbox - sandbox '%s' is already paused" % sandbox.id)
        sandbox.state = "pausing"
        sandbox.timer.cancel()
        self.cut(sandbox.id)
        await sandbox.stop_processes()
        if sandbox.state != "pausing":  # killed meanwhile
            return
        now = time.time()
        sandbox.ran += now - sandbox.running_since
        sandbox.state = "paused"
        sandbox.end_at = now
        self._record(sandbox, "paused", execution=True)

    async def resume(self, sandbox, timeout):
        self._make_room()
        sandbox.state = "running"
        await sandbox.continue_processes()
        sandbox.running_since = time.time()
        sandbox.ran = 0.0
        sandbox.execution_id = secrets.token_hex(16)
        self._begin_session(sandbox, timeout)
        self._record(sandbox, "resumed")

    async def kill(self, sandbox, reason):
        if sandbox.state == "killing":
            return
        was, sandbox.state = sandbox.state, "killing"
        if sandbox.timer is not None:
            sandbox.timer.cancel()
        ran = was in ("running", "pausing")
        if ran:
            sandbox.ran += time.time() - sandbox.running_since
        self.cut(sandbox.id)
        await sandbox.destroy()
        self.all.pop(sandbox.id, None)
        self._record(sandbox, "killed", execution=ran, kill_reason=reason)

    async def close(self):
        await asyncio.gather(*[self.kill(one, "shutdown") for one in list(self.all.values())])

    def record_update(self, sandbox):
        self._record(sandbox, "updated")

    def _record(self, sandbox, what, execution=False, kill_reason=None):
        data = {"sandbox_metadata": sandbox.metadata}
        if execution:
            data["execution"] = {
                "started_at": timestamp(sandbox.running_since), "vcpu_count": CPU_COUNT, "memory_mb": MEMORY_MB,
                "execution_time": int(sandbox.ran * 1000),
            }
        if kill_reason:
            data["kill_reason"] = kill_reason
        self.events.append({
            "id": secrets.token_hex(16), "version": "v2", "type": "sandbox.lifecycle." + what,
            "timestamp": timestamp(time.time()), "sandboxId": sandbox.id,
            "sandboxExecutionId": sandbox.execution_id, "sandboxTemplateId": sandbox.template,
            "sandboxBuildId": "build-of-" + sandbox.template, "sandboxTeamId": "team-of-the-peer", "eventData": data,
        })
