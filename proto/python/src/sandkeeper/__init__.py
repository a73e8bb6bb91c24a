"""The Python client of Sandkeeper, which runs the code of AI agents in sandboxes and keeps the books on it.

``Client`` is for threads, ``AsyncClient`` for asyncio; both offer the same calls. What they do not cover is reached by
the stubs in ``sandkeeper.v1``.
"""

from ._aio import AsyncClient, AsyncExecutionStream
from ._client import Client, ExecutionStream
from ._errors import FieldViolation, QuotaExceededError, SandkeeperError

__all__ = [
    "AsyncClient",
    "AsyncExecutionStream",
    "Client",
    "ExecutionStream",
    "FieldViolation",
    "QuotaExceededError",
    "SandkeeperError",
]
