"""The published contract of what clients send: every field, its type, and the headers that belong to it."""

import base64
import binascii
import json
import re

import frames

MAX_INT32 = 2 ** 31 - 1
MAX_UINT32 = 2 ** 32 - 1


class Violation(Exception):
    """A request that the contract does not allow."""


def fail(where, value, expected):
    shown = json.dumps(value)
    if len(shown) > 80:
        shown = shown[:80] + "..."
    raise Violation("%s: %s (expected: %s)" % (where or "body", shown, expected))


def string(value, where):
    if not isinstance(value, str):
        fail(where, value, "a string")


def boolean(value, where):
    if not isinstance(value, bool):
        fail(where, value, "true or false")


def integer(low, high=MAX_INT32):
    def check(value, where):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            fail(where, value, "an integer from %d to %d" % (low, high))
    return check


def base64_bytes(value, where):
    string(value, where)
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        fail(where, value, "base64 with its padding")


def one_of(*words):
    def check(value, where):
        if value not in words or not isinstance(value, str):
            fail(where, value, "one of " + ", ".join(words))
    return check


def anything(value, where):
    if not isinstance(value, dict):
        fail(where, value, "an object")


def array(element):
    def check(value, where):
        if not isinstance(value, list):
            fail(where, value, "an array")
        for index, item in enumerate(value):
            element(item, "%s[%d]" % (where, index))
    return check


def mapping(element):
    def check(value, where):
        anything(value, where)
        for key, item in value.items():
            element(item, "%s[%s]" % (where, json.dumps(key)))
    return check


def message(required=None, optional=None, exactly_one=None):
    """An object: its fields, and those of which one and only one is there."""
    fields = {**(required or {}), **(optional or {}), **(exactly_one or {})}

    def check(value, where):
        anything(value, where)
        for name, item in value.items():
            inner = "%s.%s" % (where, name) if where else name
            if name not in fields:
                fail(inner, item, "no such field")
            fields[name](item, inner)
        for name in required or {}:
            if name not in value:
                raise Violation("%s.%s: missing" % (where or "body", name))
        if exactly_one and len([name for name in exactly_one if name in value]) != 1:
            fail(where, sorted(value), "exactly one of " + ", ".join(exactly_one))
    return check


# --- The control API ---

NETWORK_RULE = message({"transform": message({"headers": mapping(string)})})
EGRESS = {
    "allowOut": array(string),
    "denyOut": array(string),
    "rules": mapping(array(NETWORK_RULE)),
    "egressProxy": message({"address": string}, {"username": string, "password": string}),
}
NETWORK = message(optional={
    **EGRESS, "allowPublicTraffic": boolean, "maskRequestHost": string, "httpsPorts": array(integer(1, 65535))})
NETWORK_UPDATE = message(optional={**EGRESS, "allow_internet_access": boolean})
TOKEN = message({"audience": string, "tokenType": one_of("JWT-SVID")})
SANDBOX = {
    "timeout": integer(0),
    "metadata": mapping(string),
    "envVars": mapping(string),
    "allow_internet_access": boolean,
    "network": NETWORK,
    "autoPause": boolean,
    "autoPauseMemory": boolean,
    "autoResume": message({"enabled": boolean}),
    "iam": message({"tokens": mapping(TOKEN)}),
    "mcp": anything,
    "volumeMounts": array(message({"name": string, "path": string})),
}
NEW_SANDBOX_V2 = message({"templateID": string}, SANDBOX)
NEW_SANDBOX_V1 = message({"templateID": string}, {**SANDBOX, "secure": boolean})
CONNECT_V2 = message(optional={"timeout": integer(0), "memory": boolean})
CONNECT_V1 = message({"timeout": integer(0)}, {"memory": boolean})
RESUME = message(optional={"timeout": integer(0), "memory": boolean, "autoPause": boolean})
PAUSE = message(optional={"memory": boolean})
TIMEOUT = message({"timeout": integer(0)})
REFRESH = message(optional={"duration": integer(0, 3600)})


# --- The daemon's calls ---

SIZE = message({"cols": integer(1, MAX_UINT32), "rows": integer(1, MAX_UINT32)})
PTY = message({"size": SIZE})
SELECTOR = message(exactly_one={"pid": integer(1, MAX_UINT32), "tag": string})
INPUT = message(exactly_one={"stdin": base64_bytes, "pty": base64_bytes})
CONFIG = message({"cmd": string}, {"args": array(string), "envs": mapping(string), "cwd": string})
PATH = message({"path": string})
WATCH = message({"path": string}, {"recursive": boolean, "includeEntry": boolean, "allowNetworkMounts": boolean})
WATCHER = message({"watcherId": string})
NOTHING = message()

UNARY, SERVER_STREAM, CLIENT_STREAM = "unary", "server stream", "client stream"
CALLS = {
    "/process.Process/List": (UNARY, NOTHING),
    "/process.Process/Start": (SERVER_STREAM, message(
        {"process": CONFIG}, {"pty": PTY, "tag": string, "stdin": boolean})),
    "/process.Process/Connect": (SERVER_STREAM, message({"process": SELECTOR})),
    "/process.Process/Update": (UNARY, message({"process": SELECTOR}, {"pty": PTY})),
    "/process.Process/StreamInput": (CLIENT_STREAM, message(exactly_one={
        "start": message({"process": SELECTOR}), "data": message({"input": INPUT}), "keepalive": NOTHING})),
    "/process.Process/SendInput": (UNARY, message({"process": SELECTOR, "input": INPUT})),
    "/process.Process/SendSignal": (UNARY, message(
        {"process": SELECTOR, "signal": one_of("SIGNAL_SIGKILL", "SIGNAL_SIGTERM")})),
    "/process.Process/CloseStdin": (UNARY, message({"process": SELECTOR})),
    "/filesystem.Filesystem/Stat": (UNARY, PATH),
    "/filesystem.Filesystem/MakeDir": (UNARY, PATH),
    "/filesystem.Filesystem/Move": (UNARY, message({"source": string, "destination": string})),
    "/filesystem.Filesystem/ListDir": (UNARY, message({"path": string}, {"depth": integer(0, MAX_UINT32)})),
    "/filesystem.Filesystem/Remove": (UNARY, PATH),
    "/filesystem.Filesystem/WatchDir": (SERVER_STREAM, WATCH),
    "/filesystem.Filesystem/CreateWatcher": (UNARY, WATCH),
    "/filesystem.Filesystem/GetWatcherEvents": (UNARY, WATCHER),
    "/filesystem.Filesystem/RemoveWatcher": (UNARY, WATCHER),
}

# Method and path of the daemon's REST calls -> their query parameters, the needed first.
FILE_QUERY = {"path", "username", "signature", "signature_expiration"}
REST = {
    ("GET", "/health"): (set(), set()),
    ("GET", "/metrics"): (set(), set()),
    ("GET", "/envs"): (set(), set()),
    ("GET", "/files"): ({"path"}, FILE_QUERY),
    ("HEAD", "/files"): ({"path"}, FILE_QUERY),
    ("POST", "/files"): (set(), FILE_QUERY),
    ("POST", "/files/compose"): (set(), set()),
}
COMPOSE = message({"source_paths": array(string), "destination": string}, {"username": string})


def media_type(headers):
    return (headers.get("content-type") or "").split(";")[0].strip().lower()


def check_json(headers, body, schema):
    """Returns the JSON of a control request, which its schema allows; an empty body is an empty object."""
    if not body:
        value = {}
    else:
        if media_type(headers) != "application/json":
            raise Violation("Content-Type: %r (expected: application/json)" % headers.get("content-type"))
        try:
            value = json.loads(body)
        except ValueError as wrong:
            raise Violation("body: not JSON: %s" % wrong) from None
    schema(value, "")
    return value


def check_query(query, needed, allowed):
    for name, values in query.items():
        if name not in allowed:
            raise Violation("query: %s (expected: no such parameter)" % name)
        if len(values) != 1:
            raise Violation("query: %s is there %d times (expected: once)" % (name, len(values)))
    for name in needed:
        if name not in query:
            raise Violation("query: %s is missing" % name)


def check_call_headers(headers, kind):
    """The headers of a call by Connect, but the credentials."""
    expected = "application/json" if kind == UNARY else "application/connect+json"
    if media_type(headers) != expected:
        raise Violation("Content-Type: %r (expected: %s)" % (headers.get("content-type"), expected))
    if headers.get("connect-protocol-version") != "1":
        raise Violation("Connect-Protocol-Version: %r (expected: 1)" % headers.get("connect-protocol-version"))
    for name in ("connect-timeout-ms", "keepalive-ping-interval"):
        value = headers.get(name)
        if value is not None and not re.fullmatch("[0-9]{1,10}", value):
            raise Violation("%s: %r (expected: an integer)" % (name, value))
    for name in ("content-encoding", "connect-content-encoding"):
        if headers.get(name, "identity") != "identity":
            raise Violation("%s: %r (expected: none)" % (name, headers.get(name)))
    user = headers.get("authorization")
    if user is not None:
        check_basic(user)


def check_basic(authorization):
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        decoded = ""
    if scheme != "Basic" or ":" not in decoded:
        raise Violation("Authorization: %r (expected: Basic and user: in base64)" % authorization)


def check_unary(body, schema):
    try:
        value = json.loads(body)
    except ValueError as wrong:
        raise Violation("body: not JSON: %s" % wrong) from None
    schema(value, "")


def check_frame(whole, schema):
    try:
        value = frames.parse(whole)
    except frames.BadFrame as wrong:
        raise Violation(str(wrong)) from None
    schema(value, "")
    return value


def check_single_frame(body, schema):
    """The request of a call that is answered by a stream: one message and nothing behind it."""
    splitter = frames.Splitter()
    try:
        whole = splitter.feed(body)
    except frames.BadFrame as wrong:
        raise Violation(str(wrong)) from None
    if len(whole) != 1 or splitter.rest:
        raise Violation("%d messages and %d bytes (expected: one message)" % (len(whole), len(splitter.rest)))
    check_frame(whole[0], schema)


def check_upload(headers, query):
    kind = media_type(headers)
    if kind not in ("application/octet-stream", "multipart/form-data"):
        raise Violation("Content-Type: %r (expected: application/octet-stream or multipart/form-data)"
                        % headers.get("content-type"))
    if kind == "application/octet-stream" and not query.get("path"):
        raise Violation("query: path is missing, which application/octet-stream needs")
    if headers.get("content-encoding", "identity") not in ("identity", "gzip"):
        raise Violation("Content-Encoding: %r (expected: gzip or none)" % headers.get("content-encoding"))
