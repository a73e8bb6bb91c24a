"""Turns what gRPC raises into errors with a reason and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple, TypeVar, Union, cast

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

RpcError = Union[grpc.RpcError, grpc.aio.AioRpcError]

_M = TypeVar("_M", bound=Message)


class FieldViolation(NamedTuple):
    """A field of a request that is wrong."""

    field: str
    """The path of the field in the request, such as ``timeout``."""
    description: str
    """What is wrong with it, and what was expected."""


class SandkeeperError(Exception):
    """A call was refused, or failed, or its connection broke for good."""

    code: grpc.StatusCode
    """The canonical code."""
    message: str
    """What happened, for people."""
    reason: str
    """The server's reason, such as ``SANDBOX_NOT_FOUND``; empty when the server did not get to say one."""
    metadata: Mapping[str, str]
    """Every varying part of the message, such as ``sandboxId``."""
    violations: Sequence[FieldViolation]
    """The wrong fields, with INVALID_ARGUMENT."""
    retry_delay: float | None
    """After how many seconds to try again, where the server says that waiting helps."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay = retry_delay

    @staticmethod
    def of(error: RpcError) -> SandkeeperError:
        """Reads what a call of a stub raised."""
        code = _code(error)
        details = _details(error)
        info = _unpack(details, ErrorInfo())
        retry = _unpack(details, RetryInfo())
        kind = QuotaExceededError if info.reason == "QUOTA_EXCEEDED" else SandkeeperError
        return kind(
            code,
            _text(error) or code.name,
            reason=info.reason,
            metadata=info.metadata,
            violations=[
                FieldViolation(violation.field, violation.description)
                for violation in _unpack(details, BadRequest()).field_violations
            ],
            retry_delay=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        )


class QuotaExceededError(SandkeeperError):
    """A limit has not enough left; nothing was started."""

    @property
    def limit_id(self) -> str:
        """The limit that refused."""
        return self.metadata.get("limitId", "")

    @property
    def resource(self) -> str:
        """What it limits, such as ALL_SPEND or CONCURRENT_SANDBOXES."""
        return self.metadata.get("resource", "")

    @property
    def remaining_nano_usd(self) -> int:
        """What is left of a limit of money, in nano-USD (1 USD is 1,000,000,000)."""
        return int(self.metadata.get("remainingNanoUsd", "0"))

    @property
    def remaining(self) -> int:
        """What is left of a limit of sandboxes, cores or MiB."""
        return int(self.metadata.get("remaining", "0"))

    @property
    def reset_time(self) -> datetime | None:
        """When the limit's next period begins, in UTC; None for a limit that never resets."""
        text = self.metadata.get("resetTime")
        return _time(text) if text else None


def _code(error: RpcError) -> grpc.StatusCode:
    code = error.code() if isinstance(error, (grpc.Call, grpc.aio.AioRpcError)) else None
    return code or grpc.StatusCode.UNKNOWN


def _text(error: RpcError) -> str | None:
    return error.details() if isinstance(error, (grpc.Call, grpc.aio.AioRpcError)) else str(error)


def _details(error: RpcError) -> Iterable[Any]:
    if isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                try:
                    return cast(Iterable[Any], Status.FromString(value).details)
                except DecodeError:
                    return ()
    return ()


def _unpack(details: Iterable[Any], message: _M) -> _M:
    """Fills the message from the detail of its type; leaves it empty when there is none."""
    for detail in details:
        if detail.Unpack(message):
            break
    return message


def _time(text: str) -> datetime:
    # Before 3.11 fromisoformat does not know the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
