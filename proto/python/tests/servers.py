"""Servers for the tests: one that answers as it is told, and a relay that cuts connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Union

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from sandkeeper.v1.execution_pb2 import ExecutionEvent, Finished, Heartbeat, Output, Started
from sandkeeper.v1.file_service_pb2 import ReadFileResponse
from sandkeeper.v1.file_service_pb2_grpc import FileServiceServicer, add_FileServiceServicer_to_server
from sandkeeper.v1.sandbox_service_pb2 import AttachExecutionResponse, ExecuteResponse
from sandkeeper.v1.sandbox_service_pb2_grpc import SandboxServiceServicer, add_SandboxServiceServicer_to_server

EXECUTION = "e" * 20
SANDBOX = "s" * 20


class Refusal:
    """An error that a server answers with."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        *,
        retry_delay: float | None = None,
    ) -> None:
        self.code = code
        self.details: list[Message] = []
        if reason:
            self.details.append(ErrorInfo(reason=reason, domain="sandkeeper.dev", metadata=metadata))
        if retry_delay is not None:
            delay = Duration()
            delay.FromMilliseconds(int(retry_delay * 1000))
            self.details.append(RetryInfo(retry_delay=delay))

    def send(self, context: Any) -> None:
        status = Status(code=self.code.value[0], message="refused")
        for detail in self.details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        if self.details:
            context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(self.code, "refused")


Step = Union[ExecutionEvent, ReadFileResponse, Refusal, threading.Event]


class FakeServer(SandboxServiceServicer, FileServiceServicer):
    """Answers each stream with the next of its scripts, and unary calls with the next of its answers.

    A script is a list of events; a refusal in it ends the stream so, a threading.Event in it is waited for.
    """

    def __init__(self) -> None:
        self.scripts: list[Iterable[Step]] = []
        self.answers: list[Any] = []
        self.requests: list[Any] = []
        self.keys: list[str] = []

    def Execute(self, request: Any, context: Any) -> Iterator[Any]:
        return self._play(request, context, ExecuteResponse)

    def AttachExecution(self, request: Any, context: Any) -> Iterator[Any]:
        return self._play(request, context, AttachExecutionResponse)

    def CreateSandbox(self, request: Any, context: Any) -> Any:
        return self._answer(request, context)

    def WriteFile(self, requests: Any, context: Any) -> Any:
        messages = list(requests)
        self._note(messages[0].target, context)
        self.requests.append(b"".join(message.data for message in messages[1:]))
        return self.answers.pop(0)(self.requests[-1])

    def ReadFile(self, request: Any, context: Any) -> Iterator[Any]:
        return self._play(request, context, lambda event: event)

    RunOnce, WatchDirectory, CollectArtifacts = Execute, ReadFile, ReadFile
    ListDirectory = Stat = Remove = MakeDirectory = Move = GetUpload = CreateSandbox
    GetSandbox = ListSandboxes = PauseSandbox = ResumeSandbox = TerminateSandbox = GetSandboxUsage = CreateSandbox
    ExposePort = CreateSandbox

    def _play(self, request: Any, context: Any, response: Callable[..., Any]) -> Iterator[Any]:
        self._note(request, context)
        for step in self.scripts.pop(0):
            if isinstance(step, Refusal):
                step.send(context)
            elif isinstance(step, threading.Event):
                assert step.wait(10)
            else:
                yield response(event=step)

    def _answer(self, request: Any, context: Any) -> Any:
        self._note(request, context)
        answer = self.answers.pop(0)
        if isinstance(answer, Refusal):
            answer.send(context)
        return answer

    def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.keys.append(dict(context.invocation_metadata())["authorization"])


@contextmanager
def serving_fake(fake: FakeServer, credentials: grpc.ServerCredentials | None = None) -> Iterator[int]:
    """Serves on a free port, which it yields."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        add_SandboxServiceServicer_to_server(fake, server)
        add_FileServiceServicer_to_server(fake, server)
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()


@contextmanager
def cutting(port: int, limits: Iterator[int]) -> Iterator[int]:
    """Passes connections on to a port, and cuts each after as many bytes to the client as the next limit says."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(64) as threads:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threads.submit(connection, client, next(limits))

        open_sockets: list[socket.socket] = []

        def connection(client: socket.socket, limit: int) -> None:
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                open_sockets.append(client)
                upwards = threads.submit(_pass_on, client, server, 1 << 40)
                _pass_on(server, client, limit)
                upwards.result()

        threads.submit(accept)
        yield listener.getsockname()[1]
        for end in (listener, *open_sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket, left: int) -> None:
    with suppress(OSError):
        while left and (data := source.recv(min(65536, left))):
            target.sendall(data)
            left -= len(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def started() -> ExecutionEvent:
    return ExecutionEvent(sequence=1, started=Started(execution_id=EXECUTION, pid=9))


def stdout(sequence: int, data: bytes = b"") -> ExecutionEvent:
    return ExecutionEvent(sequence=sequence, stdout=Output(data=data or b"%d;" % sequence))


def heartbeat() -> ExecutionEvent:
    return ExecutionEvent(heartbeat=Heartbeat())


def finished(sequence: int) -> ExecutionEvent:
    return ExecutionEvent(sequence=sequence, finished=Finished(exit_code=0))


def whole(count: int) -> list[ExecutionEvent]:
    """The events of an execution, `count` in all."""
    return [started(), *(stdout(sequence) for sequence in range(2, count)), finished(count)]
