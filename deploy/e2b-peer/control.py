"""The control API: sandboxes are made, listed, paused, resumed and ended by it."""

import base64
import json
import re
import time
from datetime import datetime
from urllib.parse import parse_qs, unquote

import contract
import sandboxes
from contract import Violation
from sandboxes import Refused

BODY_LIMIT = 1024 * 1024
MAX_HOURS = 24
PAGE = 100
# Which paths are the control API's, so that a call for a sandbox without its headers is told from them.
PATHS = re.compile("/(v2/)?(sandboxes|events)(/.*)?")


def json_body(value):
    return json.dumps(value, separators=(",", ":")).encode()


class Control:
    """Answers the calls of one team, whose key is given."""

    def __init__(self, key, all_sandboxes):
        self.key = key
        self.sandboxes = all_sandboxes
        one = "/sandboxes/([^/]+)"
        self.routes = [(method, re.compile(path), handle) for method, path, handle in (
            ("GET", "/health", self.health),
            ("POST", "/sandboxes", self.create_v1),
            ("POST", "/v2/sandboxes", self.create_v2),
            ("GET", "/sandboxes", self.list_v1),
            ("GET", "/v2/sandboxes", self.list_v2),
            ("GET", "/sandboxes/metrics", self.metrics_of_many),
            ("GET", one, self.get),
            ("DELETE", one, self.kill),
            ("POST", one + "/connect", self.connect_v1),
            ("POST", "/v2" + one + "/connect", self.connect_v2),
            ("POST", one + "/resume", self.resume),
            ("POST", one + "/pause", self.pause),
            ("POST", one + "/timeout", self.timeout),
            ("POST", one + "/refreshes", self.refresh),
            ("PUT", one + "/network", self.network),
            ("GET", one + "/metrics", self.metrics),
            ("GET", one + "/logs", self.logs_v1),
            ("GET", "/v2" + one + "/logs", self.logs_v2),
            ("GET", "/events/sandboxes", self.events),
            ("GET", "/events/sandboxes/([^/]+)", self.events),
        )]

    async def handle(self, request, answer):
        for method, path, handle in self.routes:
            match = path.fullmatch(request.path)
            if match and method == request.method:
                break
        else:
            raise Violation("%s %s (expected: a call of the control API)" % (request.method, request.path))
        if request.path != "/health":
            key = request.headers.get("x-api-key")
            if not key:
                raise Violation("X-API-Key: missing")
            if key != self.key:
                raise Refused(401, "Invalid API key format or value")
        body = await request.body(BODY_LIMIT)
        if body is None:
            raise Violation("body: more than %d bytes" % BODY_LIMIT)
        if body and method in ("GET", "DELETE"):
            raise Violation("body: %d bytes (expected: none)" % len(body))
        call = Call(request, body, parse_qs(request.query, keep_blank_values=True))
        status, value = await handle(call, *match.groups())
        headers = list(call.answer_headers)
        if value is None:
            await answer.send(status, b"", headers)
        elif isinstance(value, str):
            await answer.send(status, value.encode(), headers + [("Content-Type", "text/plain")])
        else:
            await answer.send(status, json_body(value), headers + [("Content-Type", "application/json")])

    async def health(self, call):
        call.query_of()
        return 200, "Health check successful"

    # --- Lives ---

    async def create_v1(self, call):
        return await self._create(call.json(contract.NEW_SANDBOX_V1), 15)

    async def create_v2(self, call):
        return await self._create(call.json(contract.NEW_SANDBOX_V2), 300)

    async def _create(self, settings, default_timeout):
        timeout = settings.get("timeout", default_timeout)
        check_timeout(timeout)
        check_network(settings.get("network") or {})
        sandbox = await self.sandboxes.create(settings, timeout)
        return 201, self._sandbox(sandbox)

    async def connect_v1(self, call, sandbox_id):
        return await self._connect(sandbox_id, call.json(contract.CONNECT_V1)["timeout"])

    async def connect_v2(self, call, sandbox_id):
        return await self._connect(sandbox_id, call.json(contract.CONNECT_V2).get("timeout", 300))

    async def _connect(self, sandbox_id, timeout):
        check_timeout(timeout)
        sandbox = self.sandboxes.find(sandbox_id)
        if sandbox.state == "running":
            # It only ever lengthens a life.
            self.sandboxes.set_end(sandbox, max(sandbox.end_at, time.time() + timeout))
            return 200, self._sandbox(sandbox)
        if sandbox.state != "paused":
            raise Refused(409, "Sandbox %s is %s" % (sandbox.id, sandbox.state))
        await self.sandboxes.resume(sandbox, timeout)
        return 201, self._sandbox(sandbox)

    async def resume(self, call, sandbox_id):
        settings = call.json(contract.RESUME)
        timeout = settings.get("timeout", 15)
        check_timeout(timeout)
        sandbox = self.sandboxes.find(sandbox_id)
        if sandbox.state != "paused":
            raise Refused(409, "Sandbox %s is already running" % sandbox.id)
        if "autoPause" in settings:
            sandbox.settings["autoPause"] = settings["autoPause"]
        await self.sandboxes.resume(sandbox, timeout)
        return 201, self._sandbox(sandbox)

    async def pause(self, call, sandbox_id):
        call.json(contract.PAUSE)
        await self.sandboxes.pause(self.sandboxes.find(sandbox_id))
        return 204, None

    async def kill(self, call, sandbox_id):
        call.query_of()
        await self.sandboxes.kill(self.sandboxes.find(sandbox_id), "request")
        return 204, None

    async def timeout(self, call, sandbox_id):
        seconds = call.json(contract.TIMEOUT)["timeout"]
        sandbox = self._running(sandbox_id)
        check_timeout(seconds)
        self.sandboxes.set_end(sandbox, time.time() + seconds)
        self.sandboxes.record_update(sandbox)
        return 204, None

    async def refresh(self, call, sandbox_id):
        seconds = max(15, call.json(contract.REFRESH).get("duration", 15))
        sandbox = self._running(sandbox_id)
        self.sandboxes.set_end(sandbox, max(sandbox.end_at, time.time() + seconds))
        return 204, None

    async def network(self, call, sandbox_id):
        rules = call.json(contract.NETWORK_UPDATE)
        check_network(rules)
        sandbox = self._running(sandbox_id)
        if "allow_internet_access" in rules:
            sandbox.internet = rules.pop("allow_internet_access")
        kept = {name: value for name, value in (sandbox.network or {}).items() if name not in contract.EGRESS}
        sandbox.network = {**kept, **rules}
        self.sandboxes.record_update(sandbox)
        return 204, None

    def _running(self, sandbox_id):
        sandbox = self.sandboxes.find(sandbox_id)
        if sandbox.state != "running":
            raise Refused(404, "Sandbox \"%s\" is not running" % sandbox_id)
        return sandbox

    # --- Views ---

    async def get(self, call, sandbox_id):
        call.query_of()
        sandbox = self.sandboxes.find(sandbox_id)
        detail = self._listed(sandbox)
        detail.update({
            "envdAccessToken": sandbox.access_token, "domain": None, "allowInternetAccess": sandbox.internet,
            "lifecycle": {
                "autoResume": sandbox.settings.get("autoResume", {}).get("enabled", False),
                "onTimeout": "pause" if sandbox.settings.get("autoPause") else "kill",
            },
        })
        if sandbox.network is not None:
            detail["network"] = sandbox.network
        return 200, detail

    async def list_v1(self, call):
        query = call.query_of("metadata")
        return 200, [self._listed(one) for one in self._select(query) if one.state == "running"]

    async def list_v2(self, call):
        query = call.query_of("metadata", "state", "startedAfter", "template", "order", "limit", "nextToken")
        states = query.get("state", "running,paused").split(",")
        for state in states:
            if state not in ("running", "paused"):
                raise Violation("query: state=%s (expected: running or paused)" % state)
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise Violation("query: order=%s (expected: asc or desc)" % order)
        limit = number(query, "limit", PAGE, 1, PAGE)
        found = [one for one in self._select(query) if shown_state(one) in states]
        if "template" in query:
            found = [one for one in found if one.template == query["template"]]
        if "startedAfter" in query:
            found = [one for one in found if one.started_at > parse_time(query["startedAfter"])]
        found.sort(key=place, reverse=order == "desc")
        call.answer_headers.append(("X-Total-Running", str(self.sandboxes.running())))
        if query.get("nextToken"):
            last = parse_token(query["nextToken"])
            found = [one for one in found if (place(one) < last if order == "desc" else place(one) > last)]
        if len(found) > limit:
            found = found[:limit]
            call.answer_headers.append(("X-Next-Token", token(place(found[-1]))))
        return 200, [self._listed(one) for one in found]

    def _select(self, query):
        wanted = parse_metadata(query.get("metadata", ""))
        return [one for one in self.sandboxes.all.values()
                if shown_state(one) and all(one.metadata.get(key) == value for key, value in wanted.items())]

    async def metrics(self, call, sandbox_id):
        query = call.query_of("start", "end")
        start = number(query, "start", 0, 0, 2 ** 53)
        end = number(query, "end", 2 ** 53, 0, 2 ** 53)
        sandbox = self.sandboxes.find(sandbox_id)
        sample = await self._sample(sandbox) if sandbox.state == "running" else None
        return 200, [sample] if sample and start <= sample["timestampUnix"] <= end else []

    async def metrics_of_many(self, call):
        ids = call.query_of("sandbox_ids").get("sandbox_ids", "").split(",")
        if not 1 <= len(ids) <= 100:
            raise Violation("query: %d sandbox_ids (expected: 1 to 100)" % len(ids))
        found = [self.sandboxes.all[one] for one in ids if one in self.sandboxes.all]
        return 200, {"sandboxes": {one.id: await self._sample(one) for one in found if one.state == "running"}}

    async def _sample(self, sandbox):
        _, body = await sandbox.ask("GET", "/metrics")
        seen = json.loads(body)
        return {
            "timestamp": sandboxes.timestamp(seen["ts"]), "timestampUnix": seen["ts"], "cpuCount": seen["cpu_count"],
            "cpuUsedPct": seen["cpu_used_pct"], "memUsed": seen["mem_used"], "memTotal": seen["mem_total"],
            "memCache": seen["mem_cache"], "diskUsed": seen["disk_used"], "diskTotal": seen["disk_total"],
        }

    async def logs_v1(self, call, sandbox_id):
        query = call.query_of("start", "limit")
        number(query, "start", 0, 0, 2 ** 53)
        number(query, "limit", 1000, 0, 1000)
        self.sandboxes.find(sandbox_id)
        return 200, {"logs": [], "logEntries": []}

    async def logs_v2(self, call, sandbox_id):
        query = call.query_of("cursor", "limit", "direction", "level", "search")
        number(query, "limit", 1000, 0, 1000)
        self.sandboxes.find(sandbox_id)
        return 200, {"logs": []}

    async def events(self, call, sandbox_id=None):
        query = call.query_of("offset", "limit", "orderAsc", "types", many=("types",))
        offset = number(query, "offset", 0, 0, 2 ** 31)
        limit = number(query, "limit", 10, 1, 100)
        ascending = query.get("orderAsc", "false")
        if ascending not in ("true", "false"):
            raise Violation("query: orderAsc=%s (expected: true or false)" % ascending)
        types = {word for words in query.get("types", []) for word in words.split(",")}
        found = [event for event in self.sandboxes.events
                 if sandbox_id in (None, event["sandboxId"]) and (not types or event["type"] in types)]
        if ascending == "false":
            found.reverse()
        return 200, found[offset:offset + limit]

    def _sandbox(self, sandbox):
        return {
            "templateID": sandbox.template, "sandboxID": sandbox.id, "clientID": "peer", "alias": sandbox.template,
            "envdVersion": sandboxes.ENVD_VERSION, "envdAccessToken": sandbox.access_token, "domain": None,
            "trafficAccessToken": sandbox.traffic_token,
        }

    def _listed(self, sandbox):
        return {
            "templateID": sandbox.template, "sandboxID": sandbox.id, "clientID": "peer", "alias": sandbox.template,
            "startedAt": sandboxes.timestamp(sandbox.started_at), "endAt": sandboxes.timestamp(sandbox.end_at),
            "cpuCount": sandboxes.CPU_COUNT, "memoryMB": sandboxes.MEMORY_MB, "diskSizeMB": sandboxes.DISK_MB,
            "state": shown_state(sandbox) or "running", "envdVersion": sandboxes.ENVD_VERSION,
            "metadata": sandbox.metadata,
        }


class Call:
    """One request, as far as the calls look at it."""

    def __init__(self, request, body, query):
        self.request = request
        self.body = body
        self.query = query
        self.answer_headers = []

    def json(self, schema):
        contract.check_query(self.query, (), ())
        return contract.check_json(self.request.headers, self.body, schema)

    def query_of(self, *names, many=()):
        """Returns the query's parameters, of which only these may be there, those of many as lists."""
        contract.check_query({name: values for name, values in self.query.items() if name not in many}, (), names)
        return {name: values if name in many else values[0] for name, values in self.query.items()}


def shown_state(sandbox):
    """The state as clients see it, or None for a sandbox that is being ended."""
    return {"running": "running", "pausing": "running", "paused": "paused"}.get(sandbox.state)


def check_timeout(seconds):
    if seconds <= 0:
        raise Refused(400, "Timeout must be greater than 0")
    if seconds > MAX_HOURS * 3600:
        raise Refused(400, "Timeout cannot be greater than %d hours" % MAX_HOURS)


def check_network(rules):
    """Names of hosts may be allowed only where all else is denied."""
    names = [host for host in rules.get("allowOut", []) if not re.fullmatch("([0-9.]+|[0-9a-fA-F:]+)(/[0-9]+)?", host)]
    if names and "0.0.0.0/0" not in rules.get("denyOut", []):
        raise Refused(400, "allowOut has the domain %s, so denyOut must have 0.0.0.0/0" % names[0])


def parse_metadata(encoded):
    """The filter's pairs, which are encoded on their own and then again as a whole."""
    pairs = {}
    for pair in unquote(encoded).split("&"):
        if pair:
            key, equals, value = pair.partition("=")
            if not equals:
                raise Violation("query: metadata has %r (expected: key=value)" % pair)
            pairs[unquote(key)] = unquote(value)
    return pairs


def number(query, name, default, low, high):
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise Violation("query: %s=%s (expected: an integer from %d to %d)" % (name, text, low, high))
    return int(text)


def parse_time(text):
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise Violation("query: startedAfter=%s (expected: an ISO 8601 time)" % text) from None


def place(sandbox):
    return (int(sandbox.started_at * 1000000), sandbox.id)


def token(of):
    return base64.urlsafe_b64encode(("%d_%s" % of).encode()).decode()


def parse_token(text):
    try:
        started, _, sandbox_id = base64.urlsafe_b64decode(text).decode().partition("_")
        return int(started), sandbox_id
    except ValueError:
        raise Violation("query: nextToken=%s (expected: one from X-Next-Token)" % text) from None
