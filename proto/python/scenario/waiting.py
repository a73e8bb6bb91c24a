"""Lets the same steps be taken by both clients."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from sandkeeper import AsyncClient
from sandkeeper.v1.execution_pb2 import ExecutionEvent


class Waiting:
    """A client for asyncio whose calls are waited for one by one, as if it were one for threads."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._wait(_called(make))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **options: self._wait(_called(method, *args, **options))

    def events(self, stream: Any) -> list[ExecutionEvent]:
        """Reads a stream to its end."""
        events: list[ExecutionEvent] = self._wait(_listed(stream))
        return events

    def called(self, stub: Any, method: str, request: Any) -> Any:
        """Makes a call of a stub."""
        return self._wait(_called(getattr(self._client.stub(stub), method), request))

    def close(self) -> None:
        self._wait(self._client.close())
        self._loop.close()

    def _wait(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)


def events_of(client: Any, stream: Any) -> list[ExecutionEvent]:
    """Reads a stream of either client to its end."""
    return client.events(stream) if isinstance(client, Waiting) else list(stream)


def called(client: Any, stub: Any, method: str, request: Any) -> Any:
    """Makes a call of a stub of either client."""
    return (
        client.called(stub, method, request)
        if isinstance(client, Waiting)
        else getattr(client.stub(stub), method)(request)
    )


async def _called(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
    result = method(*args, **options)
    if inspect.isawaitable(result):
        return await result
    return await _listed(result) if inspect.isasyncgen(result) else result


async def _listed(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]
