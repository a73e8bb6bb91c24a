"""Calls are tried again when that is safe and helps, and their failures are typed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from servers import SANDBOX, FakeServer, Refusal, serving_fake
from waiting import called

from sandkeeper import QuotaExceededError, SandkeeperError
from sandkeeper.v1.file_service_pb2 import FileInfo, ReadFileResponse, WriteFileResponse
from sandkeeper.v1.sandbox_pb2 import Sandbox
from sandkeeper.v1.sandbox_service_pb2 import CreateSandboxResponse, GetSandboxRequest, GetSandboxResponse
from sandkeeper.v1.sandbox_service_pb2_grpc import SandboxServiceStub

AWAY = Refusal(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", retry_delay=0.01)


def test_a_call_is_repeated_with_the_same_request_id(client: Any, fake: FakeServer) -> None:
    fake.answers = [AWAY, AWAY, CreateSandboxResponse(sandbox=Sandbox(sandbox_id=SANDBOX))]

    assert client.create_sandbox(timeout=2.5, metadata={"a": "b"}).sandbox_id == SANDBOX

    first, second, third = fake.requests
    assert first == second == third
    assert first.request_id
    assert first.timeout.ToMilliseconds() == 2500
    assert fake.keys == ["Bearer sk_test"] * 3


def test_three_tries_are_enough(client: Any, fake: FakeServer) -> None:
    fake.answers = [AWAY] * 4

    with pytest.raises(SandkeeperError) as raised:
        client.get_sandbox(SANDBOX)

    assert raised.value.reason == "DATABASE_UNAVAILABLE"
    assert raised.value.retry_delay == pytest.approx(0.01)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.NOT_FOUND, "SANDBOX_NOT_FOUND", {"sandboxId": SANDBOX}),
        Refusal(grpc.StatusCode.INTERNAL),
        # Its request id stands for a sandbox that never ran.
        Refusal(grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE", retry_delay=0.01),
    ],
)
def test_what_trying_again_cannot_help(client: Any, fake: FakeServer, refusal: Refusal) -> None:
    fake.answers = [refusal]

    with pytest.raises(SandkeeperError) as raised:
        client.create_sandbox()

    assert raised.value.code is refusal.code
    assert len(fake.requests) == 1


def test_all_tries_share_the_timeout(connect: Any, port: int, fake: FakeServer) -> None:
    fake.answers = [Refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_delay=0.9)]

    with pytest.raises(SandkeeperError) as raised:
        connect(port, timeout=0.5).get_sandbox(SANDBOX)

    assert raised.value.reason == "SHUTTING_DOWN"


def test_the_figures_of_a_limit(client: Any, fake: FakeServer) -> None:
    figures = {"limitId": "7", "remainingNanoUsd": "123", "resetTime": "2026-12-01T00:00:00Z"}
    fake.answers = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", figures)]

    with pytest.raises(QuotaExceededError) as raised:
        client.create_sandbox()

    assert raised.value.limit_id == "7"
    assert raised.value.remaining_nano_usd == 123
    assert raised.value.reset_time == datetime(2026, 12, 1, tzinfo=timezone.utc)
    assert raised.value.metadata == figures
    assert str(raised.value) == "QUOTA_EXCEEDED: refused"


def test_a_limit_that_never_resets(client: Any, fake: FakeServer) -> None:
    fake.answers = [
        Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", {"limitId": "7", "remainingNanoUsd": "0"})
    ]

    with pytest.raises(QuotaExceededError) as raised:
        client.create_sandbox()

    assert raised.value.reset_time is None


def test_a_server_that_is_not_there(connect: Any, unused_port: int) -> None:
    with pytest.raises(SandkeeperError) as raised:
        connect(unused_port).get_sandbox(SANDBOX)

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert raised.value.reason == ""


def test_stubs_send_the_key(client: Any, fake: FakeServer) -> None:
    fake.answers = [GetSandboxResponse(sandbox=Sandbox(sandbox_id=SANDBOX))]

    response = called(client, SandboxServiceStub, "GetSandbox", GetSandboxRequest(sandbox_id=SANDBOX))

    assert response.sandbox.sandbox_id == SANDBOX

    assert fake.keys == ["Bearer sk_test"]


@pytest.mark.parametrize("wrong", [{"argv": ["a"], "code": "b"}, {"shell": "a", "code": "b"}])
def test_code_and_a_command_at_once(client: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of argv, shell and code"):
        client.execute(SANDBOX, **wrong)


def test_a_line_in_place_of_words(client: Any) -> None:
    with pytest.raises(TypeError, match="list of words"):
        client.execute(SANDBOX, argv="ls -l")


@pytest.mark.parametrize("size", [0, 1, 262_144, 600_000])
@pytest.mark.parametrize("as_file", [False, True])
def test_an_upload_arrives(client: Any, fake: FakeServer, tmp_path: Path, size: int, as_file: bool) -> None:
    content = bytes(i % 251 for i in range(size))
    source = tmp_path / "source"
    source.write_bytes(content)
    fake.answers = [lambda sent: WriteFileResponse(file=FileInfo(path="/x"), sha256=hashlib.sha256(sent).digest())]

    assert client.upload(SANDBOX, "x", source if as_file else content).path == "/x"

    target, data = fake.requests
    assert (target.sandbox_id, target.path) == (SANDBOX, "x")
    assert data == content


def test_an_upload_that_arrived_otherwise(client: Any, fake: FakeServer) -> None:
    fake.answers = [lambda sent: WriteFileResponse(sha256=b"other")]

    with pytest.raises(SandkeeperError) as raised:
        client.upload(SANDBOX, "x", b"abc")

    assert raised.value.code is grpc.StatusCode.DATA_LOSS


def test_an_upload_of_a_file_that_is_not_there(client: Any, fake: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload(SANDBOX, "x", tmp_path / "none")

    assert fake.requests == []


def test_a_download_replaces_the_file_when_it_is_whole(client: Any, fake: FakeServer, tmp_path: Path) -> None:
    destination = tmp_path / "destination"
    destination.write_bytes(b"before")
    whole = [ReadFileResponse(file=FileInfo(path="/x")), ReadFileResponse(data=b"ab"), ReadFileResponse(data=b"c")]
    fake.scripts = [[*whole[:2], Refusal(grpc.StatusCode.UNAVAILABLE)], whole, whole]

    with pytest.raises(SandkeeperError):
        client.download_to(SANDBOX, "x", destination)
    assert destination.read_bytes() == b"before"

    client.download_to(SANDBOX, "x", destination)
    assert destination.read_bytes() == b"abc"
    assert [file.name for file in tmp_path.iterdir()] == ["destination"]
    assert client.download(SANDBOX, "x", offset=1, length=2) == b"abc"
    assert (fake.requests[-1].offset, fake.requests[-1].length) == (1, 2)


@pytest.fixture
def tls_port(fake: FakeServer) -> Iterator[tuple[int, bytes]]:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), b"".join(pem.bytes() for pem in certificate.cert_chain_pems))]
    )
    with serving_fake(fake, credentials) as port:
        yield port, authority.cert_pem.bytes()


def test_tls_trusts_those_it_is_given(connect: Any, tls_port: tuple[int, bytes], fake: FakeServer) -> None:
    port, authority = tls_port
    fake.answers = [GetSandboxResponse(sandbox=Sandbox(sandbox_id=SANDBOX))]

    client = connect(port, plaintext=False, root_certificates=authority)

    assert client.get_sandbox(SANDBOX).sandbox_id == SANDBOX


def test_tls_trusts_nobody_else(connect: Any, tls_port: tuple[int, bytes]) -> None:
    port, _ = tls_port

    with pytest.raises(SandkeeperError) as raised:
        connect(port, plaintext=False).get_sandbox(SANDBOX)

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
