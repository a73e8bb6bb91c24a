"""The client for asyncio: the same calls as of ``Client``, to be awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from . import _requests
from ._client import Client
from ._errors import SandkeeperError
from ._files import Source, Upload, replacing
from ._keys import KeyedChannel
from ._progress import Progress, Request
from ._retry import Retry
from .v1.cost_service_pb2 import CostRecord, ListCostRecordsRequest
from .v1.cost_service_pb2_grpc import CostServiceStub
from .v1.execution_pb2 import LANGUAGE_PYTHON, ExecutionEvent, Finished, Language
from .v1.file_service_pb2 import (
    FileInfo,
    ListDirectoryRequest,
    ReadFileRequest,
    RemoveRequest,
    StatRequest,
)
from .v1.file_service_pb2_grpc import FileServiceStub
from .v1.quota_service_pb2 import DeleteLimitRequest, GetQuotaRequest, Limit, LimitPeriod, QuotaStatus, SetLimitRequest
from .v1.quota_service_pb2_grpc import QuotaServiceStub
from .v1.sandbox_pb2 import Attribution, Sandbox, SandboxUsage
from .v1.sandbox_service_pb2 import (
    AttachExecutionRequest,
    GetSandboxRequest,
    GetSandboxUsageRequest,
    TerminateSandboxRequest,
)
from .v1.sandbox_service_pb2_grpc import SandboxServiceStub

_Q = TypeVar("_Q")
_R = TypeVar("_R")
_S = TypeVar("_S")


class AsyncClient:
    """Calls a Sandkeeper server from one event loop; see ``Client`` for what the calls do and take."""

    def __init__(
        self,
        target: str,
        key: str,
        *,
        plaintext: bool = False,
        root_certificates: bytes | None = None,
        timeout: float = 30.0,
        reattach_timeout: float = 60.0,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Connects when the first call is made; to be called in the event loop."""
        channel_options = [*_requests.OPTIONS, *options]
        if plaintext:
            self._transport = grpc.aio.insecure_channel(target, channel_options)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self._transport = grpc.aio.secure_channel(target, credentials, channel_options)
        self._channel = cast(grpc.aio.Channel, KeyedChannel(self._transport, key))
        self._timeout = timeout
        self._reattach_timeout = reattach_timeout
        self._sandboxes = SandboxServiceStub(self._channel)
        self._files = FileServiceStub(self._channel)
        self._quotas = QuotaServiceStub(self._channel)
        self._costs = CostServiceStub(self._channel)
        # When the server refuses an upload in the middle, grpc.aio often reports that it could not go on writing in
        # place of what the server said. The calls of threads do not.
        self._blocking = Client(target, key, plaintext=plaintext, root_certificates=root_certificates, options=options)
        self._uploads = self._blocking.stub(FileServiceStub)

    def stub(self, stub: Callable[[grpc.aio.Channel], _S]) -> _S:
        """A stub of any service of the contract, which sends this client's key.

        Its calls have no timeout, are made once, and raise ``grpc.RpcError``, which ``SandkeeperError.of`` reads.
        """
        return stub(self._channel)

    async def close(self) -> None:
        """Ends the connection, and with it all streams; the programs in the sandboxes run on."""
        await self._transport.close()
        self._blocking.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Sandboxes

    async def create_sandbox(
        self,
        *,
        template: str = "",
        cpu_cores: int = 0,
        memory_mib: int = 0,
        timeout: float | None = None,
        attribution: Attribution | None = None,
        metadata: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> Sandbox:
        """Creates a sandbox and returns it when it is ready."""
        request = _requests.create_sandbox(
            template, cpu_cores, memory_mib, timeout, attribution, metadata, environment, request_id
        )
        return (await self._unary(self._sandboxes.CreateSandbox, request, safe=True)).sandbox

    async def get_sandbox(self, sandbox_id: str) -> Sandbox:
        """Returns a sandbox, also one that has ended."""
        request = GetSandboxRequest(sandbox_id=sandbox_id)
        return (await self._unary(self._sandboxes.GetSandbox, request, safe=True)).sandbox

    async def terminate_sandbox(self, sandbox_id: str, *, grace: float | None = None) -> Sandbox:
        """Ends a sandbox and returns it; one that has ended stays as it is."""
        request = TerminateSandboxRequest(sandbox_id=sandbox_id, grace=_requests.duration(grace))
        return (await self._unary(self._sandboxes.TerminateSandbox, request, safe=True)).sandbox

    async def get_usage(self, sandbox_id: str) -> SandboxUsage:
        """Returns what a sandbox used and what was booked for it."""
        request = GetSandboxUsageRequest(sandbox_id=sandbox_id)
        return (await self._unary(self._sandboxes.GetSandboxUsage, request, safe=True)).usage

    # Executions

    def execute(
        self,
        sandbox_id: str,
        *,
        argv: Sequence[str] | None = None,
        shell: str | None = None,
        code: str | None = None,
        language: Language.ValueType = LANGUAGE_PYTHON,
        working_directory: str = "",
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline: float | None = None,
        request_id: str | None = None,
        heartbeats: bool = False,
    ) -> AsyncExecutionStream:
        """Runs one of argv, shell and code, and returns its events as they happen."""
        request = _requests.execute(
            sandbox_id, argv, shell, code, language, working_directory, environment, stdin, deadline, request_id
        )
        return self._stream(request, heartbeats)

    def attach(self, execution_id: str, after_sequence: int = 0, *, heartbeats: bool = False) -> AsyncExecutionStream:
        """Returns the events of an execution behind one of them; by default all that are kept."""
        request = AttachExecutionRequest(execution_id=execution_id, after_sequence=after_sequence)
        return self._stream(request, heartbeats)

    # Files

    async def upload(self, sandbox_id: str, path: str, source: Source) -> FileInfo:
        """Writes a file whole, or not at all; the source is its bytes or the path of a local file."""
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(answered.set)

        upload = Upload(sandbox_id, path, source)
        call = self._uploads.WriteFile.future(upload.messages())
        call.add_done_callback(wake)
        try:
            await answered.wait()
            response = call.result()
        except grpc.RpcError as error:
            raise SandkeeperError.of(error) from error
        finally:
            call.cancel()
        upload.check(response)
        return response.file

    async def download(self, sandbox_id: str, path: str, *, offset: int = 0, length: int = 0) -> bytes:
        """Returns a file's bytes, or a part of them."""
        request = ReadFileRequest(sandbox_id=sandbox_id, path=path, offset=offset, length=length)
        return b"".join([data async for data in self._read_file(request)])

    async def download_to(self, sandbox_id: str, path: str, destination: os.PathLike[str]) -> None:
        """Writes a file's bytes to a local file, which appears or is replaced when it is whole."""
        with replacing(destination) as file:
            async for data in self._read_file(ReadFileRequest(sandbox_id=sandbox_id, path=path)):
                await asyncio.to_thread(file.write, data)

    async def list_directory(self, sandbox_id: str, path: str) -> Sequence[FileInfo]:
        """Returns a directory's entries, sorted by name."""
        request = ListDirectoryRequest(sandbox_id=sandbox_id, path=path)
        return (await self._unary(self._files.ListDirectory, request, safe=True)).files

    async def stat(self, sandbox_id: str, path: str) -> FileInfo:
        """Describes a file, directory or link."""
        return (await self._unary(self._files.Stat, StatRequest(sandbox_id=sandbox_id, path=path), safe=True)).file

    async def remove(self, sandbox_id: str, path: str, *, recursive: bool = False) -> None:
        """Removes a file, a link, or a directory; one that is not empty only when recursive."""
        request = RemoveRequest(sandbox_id=sandbox_id, path=path, recursive=recursive)
        await self._unary(self._files.Remove, request, safe=False)

    # Money

    async def set_limit(self, period: LimitPeriod.ValueType, amount_nano_usd: int, *, tenant_id: str = "") -> Limit:
        """Sets how much may be spent in each period, by the key's own tenant unless another is named."""
        request = SetLimitRequest(period=period, amount_nano_usd=amount_nano_usd, tenant_id=tenant_id)
        return (await self._unary(self._quotas.SetLimit, request, safe=False)).limit

    async def delete_limit(self, limit_id: str) -> None:
        """Deletes a limit; what was spent stays booked."""
        await self._unary(self._quotas.DeleteLimit, DeleteLimitRequest(limit_id=limit_id), safe=False)

    async def get_quota(self, *, tenant_id: str = "") -> Sequence[QuotaStatus]:
        """Returns what is spent, held and left of each limit, shortest period first."""
        return (await self._unary(self._quotas.GetQuota, GetQuotaRequest(tenant_id=tenant_id), safe=True)).quotas

    async def list_cost_records(self, *, sandbox_id: str = "", conversation_id: str = "") -> AsyncIterator[CostRecord]:
        """Yields what was billed, newest first, asking for page after page."""
        request = ListCostRecordsRequest(sandbox_id=sandbox_id, conversation_id=conversation_id)
        while True:
            page = await self._unary(self._costs.ListCostRecords, request, safe=True)
            for record in page.cost_records:
                yield record
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _unary(self, method: grpc.aio.UnaryUnaryMultiCallable[_Q, _R], request: _Q, *, safe: bool) -> _R:
        retry = Retry(self._timeout, safe=safe)
        while True:
            try:
                return await method(request, timeout=retry.time_left())
            except grpc.RpcError as error:
                delay = retry.delay_after(SandkeeperError.of(error))
            await asyncio.sleep(delay)

    async def _read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        call = self._files.ReadFile(request)
        try:
            async for response in call:
                yield response.data
        except grpc.RpcError as error:
            raise SandkeeperError.of(error) from error
        finally:
            call.cancel()

    def _stream(self, request: Request, heartbeats: bool) -> AsyncExecutionStream:
        progress = Progress(request, self._reattach_timeout, heartbeats=heartbeats)
        return AsyncExecutionStream(self._sandboxes, progress)


class AsyncExecutionStream(AsyncIterator[ExecutionEvent]):
    """The events of an execution: ``started`` first, ``finished`` last, each once; see ``ExecutionStream``."""

    def __init__(self, stub: Any, progress: Progress) -> None:
        self._stub = stub
        self._progress = progress
        self._closed = asyncio.Event()
        # The first call is made at once, so that the program starts without being read.
        self._call: Any = self._open()

    @property
    def execution_id(self) -> str:
        """The execution's id; empty before the event ``started``."""
        return self._progress.execution_id

    @property
    def last_sequence(self) -> int:
        """The number of the last event taken; 0 before the first."""
        return self._progress.last_sequence

    @property
    def reattachments(self) -> int:
        """How often the stream went on after a break."""
        return self._progress.reattachments

    async def __anext__(self) -> ExecutionEvent:
        while not (self._closed.is_set() or self._progress.finished):
            if self._call is None:
                self._call = self._open()
            try:
                async for response in self._call:
                    if self._progress.take(response.event):
                        return self._deliver(response.event)
                broken = self._progress.ended()
                if broken is None:
                    break
            except grpc.RpcError as error:
                broken = SandkeeperError.of(error)
                broken.__cause__ = error
            except asyncio.CancelledError:
                if self._closed.is_set():
                    break
                # The reader gave up waiting, which ended the call; the next to read goes on with another.
                self._call = None
                raise
            await self._go_on(broken)
        raise StopAsyncIteration

    async def wait(
        self,
        stdout: Callable[[bytes], object] | None = None,
        stderr: Callable[[bytes], object] | None = None,
    ) -> Finished:
        """Reads to the end, hands on the bytes the program writes, and returns how it ended."""
        async for event in self:
            if event.HasField("stdout") and stdout:
                stdout(event.stdout.data)
            elif event.HasField("stderr") and stderr:
                stderr(event.stderr.data)
            elif event.HasField("finished"):
                return event.finished
        raise SandkeeperError(grpc.StatusCode.CANCELLED, "The stream was closed, or had its last event, before.")

    def close(self) -> None:
        """Ends the stream; the program runs on."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()
            # A call that is kept keeps the connection open.
            self._call = None

    async def __aenter__(self) -> AsyncExecutionStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Any:
        request = self._progress.next_request()
        if isinstance(request, AttachExecutionRequest):
            return self._stub.AttachExecution(request)
        return self._stub.Execute(request)

    def _deliver(self, event: ExecutionEvent) -> ExecutionEvent:
        if event.HasField("finished"):
            self.close()
        return event

    async def _go_on(self, broken: SandkeeperError) -> None:
        delay = self._progress.delay_after(broken)
        try:
            await asyncio.wait_for(self._closed.wait(), delay)
        except asyncio.TimeoutError:
            self._call = self._open()
