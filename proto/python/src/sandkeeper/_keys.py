"""Sends the API key with every call of a channel, also with those made by the stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import grpc
import grpc.aio

_Q = TypeVar("_Q")
_R = TypeVar("_R")


class _Details(NamedTuple):
    """A call's details, by the names of grpc.ClientCallDetails."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class KeyInterceptor(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor
):
    """For channels of threads."""

    def __init__(self, key: str) -> None:
        self._header = ("authorization", f"Bearer {key}")

    def intercept_unary_unary(
        self, continuation: Callable[[Any, _Q], _R], client_call_details: grpc.ClientCallDetails, request: _Q
    ) -> _R:
        return continuation(self._with_key(client_call_details), request)

    intercept_unary_stream = intercept_unary_unary

    def intercept_stream_unary(
        self,
        continuation: Callable[[Any, Iterator[_Q]], _R],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[_Q],
    ) -> _R:
        return continuation(self._with_key(client_call_details), request_iterator)

    def _with_key(self, details: grpc.ClientCallDetails) -> _Details:
        return _Details(
            method=details.method,
            timeout=details.timeout,
            metadata=[*(details.metadata or ()), self._header],
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=details.compression,
        )


class KeyedChannel:
    """What the stubs need of a channel of asyncio.

    Interceptors would do the same, but with them a call that is refused while its requests are still being sent loses
    the server's answer.
    """

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._channel = channel
        self._header = ("authorization", f"Bearer {key}")

    def unary_unary(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.unary_unary(*args, **options))

    def unary_stream(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.unary_stream(*args, **options))

    def stream_unary(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.stream_unary(*args, **options))

    def _keyed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, metadata: Iterable[tuple[str, Any]] = (), **options: Any) -> Any:
            return method(*args, metadata=(*metadata, self._header), **options)

        return call
