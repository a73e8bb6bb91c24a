"""The client for threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grpc

from . import _requests
from ._errors import SandkeeperError
from ._files import Source, Upload, replacing
from ._keys import KeyInterceptor
from ._progress import Progress, Request
from ._retry import Retry
from .v1.cost_service_pb2 import CostRecord, ListCostRecordsRequest
from .v1.cost_service_pb2_grpc import CostServiceStub
from .v1.execution_pb2 import LANGUAGE_PYTHON, ExecutionEvent, Finished, Language
from .v1.file_service_pb2 import FileInfo, ListDirectoryRequest, ReadFileRequest, RemoveRequest, StatRequest
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


class Client:
    """Calls a Sandkeeper server. Safe for use by several threads at once; one is enough for a program.

    Every call raises ``SandkeeperError`` when it is refused or fails, ``QuotaExceededError`` when a limit has not
    enough left. A call that may be made twice is made up to three times while the server is not to be reached. Times
    are in seconds, money is in nano-USD (1 USD is 1,000,000,000).
    """

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
        """Connects when the first call is made.

        :param target: host and port, such as ``127.0.0.1:7400``
        :param key: the API key
        :param plaintext: without TLS, for a server on this machine or behind a proxy on it
        :param root_certificates: whom to trust, as PEM; None: the certificates that gRPC comes with
        :param timeout: how long a call may take with all its tries; streams and files have no such bound
        :param reattach_timeout: how long a stream whose connection broke tries to go on; 0: not at all
        :param options: more options of the gRPC channel
        """
        channel_options = [*_requests.OPTIONS, *options]
        if plaintext:
            self._transport = grpc.insecure_channel(target, channel_options)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self._transport = grpc.secure_channel(target, credentials, channel_options)
        self._channel = grpc.intercept_channel(self._transport, KeyInterceptor(key))
        self._timeout = timeout
        self._reattach_timeout = reattach_timeout
        self._sandboxes = self.stub(SandboxServiceStub)
        self._files = self.stub(FileServiceStub)
        self._quotas = self.stub(QuotaServiceStub)
        self._costs = self.stub(CostServiceStub)

    def stub(self, stub: Callable[[grpc.Channel], _S]) -> _S:
        """A stub of any service of the contract, which sends this client's key.

        Its calls have no timeout, are made once, and raise ``grpc.RpcError``, which ``SandkeeperError.of`` reads.
        """
        return stub(self._channel)

    def close(self) -> None:
        """Ends the connection, and with it all streams; the programs in the sandboxes run on."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Sandboxes

    def create_sandbox(
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
        """Creates a sandbox and returns it when it is ready.

        :param template: the template's name; empty: ``base``
        :param cpu_cores: 1 to 8; 0: the template's default
        :param memory_mib: 512 to 8192; 0: the template's default
        :param timeout: how long it may live, 1 to 86,400; None: 60
        :param attribution: for whom it runs
        :param metadata: labels of your own
        :param environment: variables of everything that runs in it
        :param request_id: a UUID under which repeated calls give the same sandbox; None: a new one
        """
        request = _requests.create_sandbox(
            template, cpu_cores, memory_mib, timeout, attribution, metadata, environment, request_id
        )
        return self._unary(self._sandboxes.CreateSandbox, request, safe=True).sandbox

    def get_sandbox(self, sandbox_id: str) -> Sandbox:
        """Returns a sandbox, also one that has ended."""
        return self._unary(self._sandboxes.GetSandbox, GetSandboxRequest(sandbox_id=sandbox_id), safe=True).sandbox

    def terminate_sandbox(self, sandbox_id: str, *, grace: float | None = None) -> Sandbox:
        """Ends a sandbox and returns it; one that has ended stays as it is.

        :param grace: how long its processes may take after SIGTERM, up to 4; None: they get SIGKILL at once
        """
        request = TerminateSandboxRequest(sandbox_id=sandbox_id, grace=_requests.duration(grace))
        return self._unary(self._sandboxes.TerminateSandbox, request, safe=True).sandbox

    def get_usage(self, sandbox_id: str) -> SandboxUsage:
        """Returns what a sandbox used and what was booked for it."""
        request = GetSandboxUsageRequest(sandbox_id=sandbox_id)
        return self._unary(self._sandboxes.GetSandboxUsage, request, safe=True).usage

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
    ) -> ExecutionStream:
        """Runs one of argv, shell and code, and returns its events as they happen.

        :param argv: a program and its arguments
        :param shell: a line for the sandbox's Bash
        :param code: a piece of code
        :param language: the language of the code
        :param working_directory: relative to ``/home/user``; not for Python
        :param environment: variables on top of the sandbox's; not for Python
        :param stdin: what the program reads, at most 10 MiB; not for Python
        :param deadline: how long it may run, then it is ended; None: 5 minutes
        :param request_id: a UUID under which repeated calls give the same execution; None: a new one
        :param heartbeats: whether signs of life are events too
        """
        request = _requests.execute(
            sandbox_id, argv, shell, code, language, working_directory, environment, stdin, deadline, request_id
        )
        return self._stream(request, heartbeats)

    def attach(self, execution_id: str, after_sequence: int = 0, *, heartbeats: bool = False) -> ExecutionStream:
        """Returns the events of an execution behind one of them; by default all that are kept."""
        request = AttachExecutionRequest(execution_id=execution_id, after_sequence=after_sequence)
        return self._stream(request, heartbeats)

    # Files

    def upload(self, sandbox_id: str, path: str, source: Source) -> FileInfo:
        """Writes a file whole, or not at all.

        :param path: in the sandbox, relative to ``/home/user``; missing folders are made
        :param source: the bytes, or the path of a local file
        """
        upload = Upload(sandbox_id, path, source)
        try:
            response = self._files.WriteFile(upload.messages())
        except grpc.RpcError as error:
            raise SandkeeperError.of(error) from error
        upload.check(response)
        return response.file

    def download(self, sandbox_id: str, path: str, *, offset: int = 0, length: int = 0) -> bytes:
        """Returns a file's bytes, or a part of them.

        :param offset: how many bytes to skip
        :param length: how many bytes to read at most; 0: to the end
        """
        request = ReadFileRequest(sandbox_id=sandbox_id, path=path, offset=offset, length=length)
        return b"".join(self._read_file(request))

    def download_to(self, sandbox_id: str, path: str, destination: os.PathLike[str]) -> None:
        """Writes a file's bytes to a local file, which appears or is replaced when it is whole."""
        with replacing(destination) as file:
            for data in self._read_file(ReadFileRequest(sandbox_id=sandbox_id, path=path)):
                file.write(data)

    def list_directory(self, sandbox_id: str, path: str) -> Sequence[FileInfo]:
        """Returns a directory's entries, sorted by name."""
        request = ListDirectoryRequest(sandbox_id=sandbox_id, path=path)
        return self._unary(self._files.ListDirectory, request, safe=True).files

    def stat(self, sandbox_id: str, path: str) -> FileInfo:
        """Describes a file, directory or link."""
        return self._unary(self._files.Stat, StatRequest(sandbox_id=sandbox_id, path=path), safe=True).file

    def remove(self, sandbox_id: str, path: str, *, recursive: bool = False) -> None:
        """Removes a file, a link, or a directory; one that is not empty only when recursive."""
        request = RemoveRequest(sandbox_id=sandbox_id, path=path, recursive=recursive)
        self._unary(self._files.Remove, request, safe=False)

    # Money

    def set_limit(self, period: LimitPeriod.ValueType, amount_nano_usd: int, *, tenant_id: str = "") -> Limit:
        """Sets how much may be spent in each period, by the key's own tenant unless another is named."""
        request = SetLimitRequest(period=period, amount_nano_usd=amount_nano_usd, tenant_id=tenant_id)
        return self._unary(self._quotas.SetLimit, request, safe=False).limit

    def delete_limit(self, limit_id: str) -> None:
        """Deletes a limit; what was spent stays booked."""
        self._unary(self._quotas.DeleteLimit, DeleteLimitRequest(limit_id=limit_id), safe=False)

    def get_quota(self, *, tenant_id: str = "") -> Sequence[QuotaStatus]:
        """Returns what is spent, held and left of each limit, shortest period first."""
        return self._unary(self._quotas.GetQuota, GetQuotaRequest(tenant_id=tenant_id), safe=True).quotas

    def list_cost_records(self, *, sandbox_id: str = "", conversation_id: str = "") -> Iterator[CostRecord]:
        """Yields what was billed, newest first, asking for page after page."""
        request = ListCostRecordsRequest(sandbox_id=sandbox_id, conversation_id=conversation_id)
        while True:
            page = self._unary(self._costs.ListCostRecords, request, safe=True)
            yield from page.cost_records
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _unary(self, method: grpc.UnaryUnaryMultiCallable[_Q, _R], request: _Q, *, safe: bool) -> _R:
        retry = Retry(self._timeout, safe=safe)
        while True:
            try:
                return method(request, timeout=retry.time_left())
            except grpc.RpcError as error:
                delay = retry.delay_after(SandkeeperError.of(error))
            time.sleep(delay)

    def _read_file(self, request: ReadFileRequest) -> Iterator[bytes]:
        call = self._files.ReadFile(request)
        try:
            for response in call:
                yield response.data
        except grpc.RpcError as error:
            raise SandkeeperError.of(error) from error
        finally:
            call.cancel()

    def _stream(self, request: Request, heartbeats: bool) -> ExecutionStream:
        progress = Progress(request, self._reattach_timeout, heartbeats=heartbeats)
        return ExecutionStream(self._sandboxes, progress)


class ExecutionStream(Iterator[ExecutionEvent]):
    """The events of an execution: ``started`` first, ``finished`` last, each once.

    When its connection breaks, it attaches again behind the last event. A reader who takes its time holds the stream
    back. Closing it, or leaving its ``with`` block, ends the stream and not the program. For one thread at a time, but
    for ``close``.
    """

    def __init__(self, stub: SandboxServiceStub, progress: Progress) -> None:
        self._stub = stub
        self._progress = progress
        self._closed = threading.Event()
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

    def __next__(self) -> ExecutionEvent:
        while not (self._closed.is_set() or self._progress.finished):
            broken = None
            try:
                for response in self._call:
                    if self._progress.take(response.event):
                        return self._deliver(response.event)
                broken = self._progress.ended()
                if broken is None:
                    break
            except grpc.RpcError as error:
                if self._closed.is_set():
                    break
                broken = SandkeeperError.of(error)
                broken.__cause__ = error
            self._go_on(broken)
        raise StopIteration

    def wait(
        self,
        stdout: Callable[[bytes], object] | None = None,
        stderr: Callable[[bytes], object] | None = None,
    ) -> Finished:
        """Reads to the end, hands on the bytes the program writes, and returns how it ended."""
        for event in self:
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
        self._call.cancel()

    def __enter__(self) -> ExecutionStream:
        return self

    def __exit__(self, *_: object) -> None:
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

    def _go_on(self, broken: SandkeeperError) -> None:
        if not self._closed.wait(self._progress.delay_after(broken)):
            self._call = self._open()
            if self._closed.is_set():
                self._call.cancel()
