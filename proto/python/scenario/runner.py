"""Follows the scenario of proto/scenario with the Python client.

    python runner.py TABLE [--async]

The table and the environment it needs are described in proto/scenario/README.md. With --async the steps are taken by the
client for asyncio.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import timezone
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from waiting import Waiting, events_of

from sandkeeper import AsyncClient, Client, QuotaExceededError, SandkeeperError
from sandkeeper.v1.quota_service_pb2 import SetLimitRequest
from sandkeeper.v1.sandbox_service_pb2 import CreateSandboxRequest, ExecuteRequest

Json = dict[str, Any]


class Runner:
    """Takes the steps, each with the client it asks for."""

    def __init__(self, asynchronous: bool) -> None:
        self._asynchronous = asynchronous
        self._variables = {"run": str(uuid.uuid4())}
        self._clients: dict[tuple[str, str], Any] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def take(self, step: Json) -> str | None:
        """Takes a step and returns the first difference between what is expected and what came."""
        arguments = self._filled(step["arguments"])
        try:
            result = ACTIONS[step["action"]](self._client(step), arguments)
            failed = False
        except SandkeeperError as error:
            result = error_json(error)
            failed = True
        if failed != ("expectError" in step):
            return f"expected {'an error' if not failed else 'no error'}, got {shown(result)}"
        for path, expected in (step["expectError"] if failed else step["expect"]).items():
            expected, got = self._filled(expected), at(result, path)
            if not holds(expected, got):
                return f"{path}: expected {shown(expected)}, got {shown(got)}"
        for name, path in step.get("save", {}).items():
            self._variables[name] = at(result, path)
        return None

    def _client(self, step: Json) -> Any:
        target = os.environ["SANDKEEPER_CUT_TARGET" if step.get("target") == "cut" else "SANDKEEPER_TARGET"]
        key = step.get("key", os.environ["SANDKEEPER_KEY"])
        if (target, key) not in self._clients:
            self._clients[target, key] = (
                Waiting(lambda: AsyncClient(target, key, plaintext=True))
                if self._asynchronous
                else Client(target, key, plaintext=True)
            )
        return self._clients[target, key]

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\$\{(\w+)}", lambda match: self._variables[match[1]], value)
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        return value


def call(client: Any, arguments: Json) -> Json:
    request = arguments["request"]
    return CALLS[arguments["method"]](client, request)


def create_sandbox(client: Any, request: Json) -> Json:
    asked = ParseDict(request, CreateSandboxRequest())
    sandbox = client.create_sandbox(
        template=asked.template,
        cpu_cores=asked.resources.cpu_cores,
        memory_mib=asked.resources.memory_mib,
        timeout=asked.timeout.ToTimedelta().total_seconds() if asked.HasField("timeout") else None,
        attribution=asked.attribution,
        metadata=asked.metadata,
        environment=asked.environment,
        request_id=asked.request_id or None,
    )
    return {"sandbox": MessageToDict(sandbox)}


def set_limit(client: Any, request: Json) -> Json:
    asked = ParseDict(request, SetLimitRequest())
    return {"limit": MessageToDict(client.set_limit(asked.period, asked.amount_nano_usd))}


CALLS: dict[str, Callable[[Any, Json], Json]] = {
    "CreateSandbox": create_sandbox,
    "GetSandbox": lambda client, request: {"sandbox": MessageToDict(client.get_sandbox(request["sandboxId"]))},
    "TerminateSandbox": lambda client, request: {
        "sandbox": MessageToDict(client.terminate_sandbox(request["sandboxId"]))
    },
    "GetSandboxUsage": lambda client, request: {"usage": MessageToDict(client.get_usage(request["sandboxId"]))},
    "ListDirectory": lambda client, request: {
        "files": [MessageToDict(file) for file in client.list_directory(request["sandboxId"], request["path"])]
    },
    "Stat": lambda client, request: {"file": MessageToDict(client.stat(request["sandboxId"], request["path"]))},
    "SetLimit": set_limit,
    "DeleteLimit": lambda client, request: client.delete_limit(request["limitId"]) or {},
    "GetQuota": lambda client, _: {"quotas": [MessageToDict(quota) for quota in client.get_quota()]},
}


def execute(client: Any, arguments: Json) -> Json:
    asked = ParseDict(arguments["request"], ExecuteRequest())
    stream = client.execute(
        asked.sandbox_id,
        argv=list(asked.command.argv) or None,
        shell=asked.command.shell or None,
        code=asked.code.source if asked.HasField("code") else None,
        language=asked.code.language,
        working_directory=asked.working_directory,
        environment=asked.environment,
        stdin=asked.stdin,
        deadline=asked.deadline.ToTimedelta().total_seconds() if asked.HasField("deadline") else None,
    )
    return stream_json(client, stream)


def attach(client: Any, arguments: Json) -> Json:
    return stream_json(client, client.attach(arguments["executionId"], int(arguments["afterSequence"])))


def stream_json(client: Any, stream: Any) -> Json:
    events = events_of(client, stream)
    stdout = b"".join(event.stdout.data for event in events)
    stderr = b"".join(event.stderr.data for event in events)
    result: Json = {
        "stdout": stdout.decode(errors="replace"),
        "stderr": stderr.decode(errors="replace"),
        "stdoutBytes": str(len(stdout)),
        "stdoutSha256": hashlib.sha256(stdout).hexdigest(),
        "firstSequence": str(events[0].sequence),
        "lastSequence": str(events[-1].sequence),
        "gaps": sum(event.sequence != before.sequence + 1 for before, event in zip(events, events[1:])),
        "reattachments": stream.reattachments,
    }
    for event in events:
        if event.HasField("started"):
            result["executionId"] = event.started.execution_id
        elif event.HasField("result"):
            result["result"] = event.result.data["text/plain"].decode()
        elif event.HasField("error"):
            result["error"] = MessageToDict(event.error)
        elif event.HasField("finished"):
            finished = MessageToDict(event.finished)
            result.update({name: finished[name] for name in ("reason", "exitCode", "signal") if name in finished})
    return result


def upload(client: Any, arguments: Json) -> Json:
    rule = bytes((31 * i + 7) % 251 for i in range(251))
    size = arguments["size"]
    content = (rule * (size // 251 + 1))[:size]
    return MessageToDict(client.upload(arguments["sandboxId"], arguments["path"], content))


def download(client: Any, arguments: Json) -> Json:
    content = client.download(
        arguments["sandboxId"],
        arguments["path"],
        offset=arguments.get("offset", 0),
        length=arguments.get("length", 0),
    )
    return {"bytes": str(len(content)), "sha256": hashlib.sha256(content).hexdigest()}


def costs(client: Any, arguments: Json) -> Json:
    records = list(client.list_cost_records(sandbox_id=arguments["sandboxId"]))
    return {
        "count": len(records),
        "sumNanoUsd": str(sum(record.amount_nano_usd for record in records)),
        "records": [MessageToDict(record) for record in records],
    }


ACTIONS: dict[str, Callable[[Any, Json], Json]] = {
    "call": call,
    "execute": execute,
    "attach": attach,
    "upload": upload,
    "download": download,
    "costs": costs,
}


def error_json(error: SandkeeperError) -> Json:
    result: Json = {
        "code": error.code.name,
        "reason": error.reason,
        "metadata": error.metadata,
        "violations": [violation._asdict() for violation in error.violations],
    }
    if isinstance(error, QuotaExceededError):
        result["limitId"] = error.limit_id
        result["remainingNanoUsd"] = str(error.remaining_nano_usd)
        if error.reset_time:
            result["resetTime"] = error.reset_time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return result


def at(result: Any, path: str) -> Any:
    """What is at a path; None for nothing."""
    for name in path.split("."):
        if isinstance(result, dict):
            result = result.get(name)
        elif isinstance(result, Sequence) and not isinstance(result, str) and int(name) < len(result):
            result = result[int(name)]
        else:
            return None
    return result


def holds(expected: Any, got: Any) -> bool:
    if isinstance(expected, dict) and "matches" in expected:
        return isinstance(got, str) and re.search(expected["matches"], got) is not None
    if isinstance(expected, dict) and "atLeast" in expected:
        return got is not None and int(got) >= expected["atLeast"]
    return type(expected) is type(got) and bool(expected == got)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + "…"


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        steps = json.load(file)["steps"]
    runner = Runner(asynchronous="--async" in sys.argv[2:])
    try:
        for step in steps:
            difference = runner.take(step)
            if difference:
                print(f"failed {step['name']}: {difference}", flush=True)
                return 1
            print(f"ok {step['name']}", flush=True)
    finally:
        runner.close()
    print(f"{len(steps)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
