"""What both clients send: requests from plain arguments, and the settings of a connection."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from .v1.execution_pb2 import Code, Command, Language
from .v1.sandbox_pb2 import Attribution, Resources
from .v1.sandbox_service_pb2 import CreateSandboxRequest, ExecuteRequest

OPTIONS: Sequence[tuple[str, Any]] = (
    # A connection that is silently gone is noticed while a call waits on it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # No more patient than the clients' own waiting: a server that is back is found at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # The value of an expression, such as a chart, comes in one event.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


def create_sandbox(
    template: str,
    cpu_cores: int,
    memory_mib: int,
    timeout: float | None,
    attribution: Attribution | None,
    metadata: Mapping[str, str] | None,
    environment: Mapping[str, str] | None,
    request_id: str | None,
) -> CreateSandboxRequest:
    return CreateSandboxRequest(
        # Without one of its own, a call that is repeated after a break would make a second sandbox.
        request_id=request_id or str(uuid.uuid4()),
        template=template,
        resources=Resources(cpu_cores=cpu_cores, memory_mib=memory_mib),
        timeout=duration(timeout),
        attribution=attribution,
        metadata=metadata,
        environment=environment,
    )


def execute(
    sandbox_id: str,
    argv: Sequence[str] | None,
    shell: str | None,
    code: str | None,
    language: Language.ValueType,
    working_directory: str,
    environment: Mapping[str, str] | None,
    stdin: bytes,
    deadline: float | None,
    request_id: str | None,
) -> ExecuteRequest:
    if isinstance(argv, str):
        raise TypeError(f"argv is a list of words (expected: argv=[...], or shell={argv!r} for a line)")
    if code is not None and (argv is not None or shell is not None):
        raise ValueError("code came together with a command (expected: one of argv, shell and code)")
    return ExecuteRequest(
        sandbox_id=sandbox_id,
        request_id=request_id or str(uuid.uuid4()),
        code=None if code is None else Code(language=language, source=code),
        command=Command(argv=argv, shell=shell or "") if code is None else None,
        working_directory=working_directory,
        environment=environment,
        stdin=stdin,
        deadline=duration(deadline),
    )


def duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    result = Duration()
    result.FromTimedelta(timedelta(seconds=seconds))
    return result
