"""What a user names leads to no address that is refused, and what answers there is bounded."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from tests.contract.s3 import hostile
from tests.contract.s3.conftest import BUCKET, HERE, keys
from tests.contract.s3.hostile import HostileServer
from tests.support.relay import Relay
from tests.support.simulators.hosting import InThread
from together_operator.adapters import s3_calls
from together_operator.adapters.inspector import SourceInspector
from together_operator.adapters.s3 import S3Archives
from together_operator.api.v1alpha1 import S3Location
from together_operator.archive import s3_guard
from together_operator.archive.check import remote
from together_operator.domain import errors
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.conditions import Reason
from together_operator.ports import BehindUrl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ThreadPoolExecutor
    from http.server import BaseHTTPRequestHandler

    from tests.support.simulators.s3 import S3Simulator

NOWHERE = AddressPolicy()
NAME = "minio"
URI, PREFIX = f"s3://{BUCKET}/model.zip", f"s3://{BUCKET}/weights/"
KEYS = keys("AKIA", "secret")


def at(endpoint: str | None) -> S3Location:
    return S3Location(region="us-east-1", endpoint_url=endpoint)


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `NAME` leads to, the list's only entry."""
    answers: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Sequence[Any]:
        if host != NAME:
            return real(host, port, *args, **options)
        return real(answers[0], port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("together_operator.archive.network.getaddrinfo", look_up)
    return answers


async def refused(archives: S3Archives, location: S3Location) -> str:
    """The message with which every call is refused."""
    said = set()
    for call in (
        archives.head(location, URI, KEYS),
        archives.list_prefix(location, PREFIX, KEYS),
        archives.delete_archives(location, PREFIX, KEYS),
    ):
        with pytest.raises(errors.InputError) as caught:
            await call
        assert caught.value.reason is Reason.ADDRESS_REFUSED
        said.add(str(caught.value).partition(": ")[2])
    (message,) = said
    return message


async def test_an_endpoint_on_loopback_is_never_connected_to(
    store: S3Simulator, threads: ThreadPoolExecutor
) -> None:
    before = dict(store.calls)
    said = await refused(S3Archives(threads, NOWHERE), at(store.url))

    assert said.startswith(f"endpointURL {store.url} leads to an address that is loopback")
    assert "TOGETHER_OPERATOR_ALLOWED_ADDRESSES" in said
    assert dict(store.calls) == before


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200"]
)
async def test_a_metadata_service_is_never_connected_to(
    host: str, threads: ThreadPoolExecutor
) -> None:
    began = time.monotonic()
    said = await refused(S3Archives(threads, HERE), at(f"http://{host}"))

    assert "a metadata service's" in said
    assert time.monotonic() - began < 5, "neither a timeout nor a retry"


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_other_spellings_of_loopback_are_seen_when_they_are_looked_up(
    spelling: str, store: S3Simulator, threads: ThreadPoolExecutor
) -> None:
    endpoint = f"http://{spelling}:{port_of(store.url)}"

    assert "loopback" in await refused(S3Archives(threads, NOWHERE), at(endpoint))


async def test_a_name_that_leads_to_loopback_is_refused_when_it_is_looked_up(
    store: S3Simulator, resolving: list[str], threads: ThreadPoolExecutor
) -> None:
    resolving.append("127.0.0.1")
    before = dict(store.calls)
    said = await refused(S3Archives(threads, NOWHERE), at(f"http://{NAME}:{port_of(store.url)}"))

    assert "loopback" in said
    assert "127.0.0.1" not in said, "it tells no one what names lead to"
    assert dict(store.calls) == before


async def test_a_name_that_is_bound_anew_after_a_first_look_is_refused(
    store: S3Simulator,
    location: S3Location,
    credentials: dict[str, SecretStr],
    resolving: list[str],
    threads: ThreadPoolExecutor,
) -> None:
    store.client().put_object(Bucket=BUCKET, Key="model.zip", Body=b"PK")
    first = AddressPolicy.parse("127.0.0.2")
    with InThread(Relay(store.url, "127.0.0.2")) as relay:
        endpoint = f"http://{NAME}:{port_of(relay.url)}"
        bound = location.model_copy(update={"endpoint_url": endpoint})
        resolving.append("127.0.0.2")
        found = await S3Archives(threads, first).head(bound, URI, credentials)
        assert found.size_bytes == 2
        resolving[:] = ["127.0.0.1"]

        await refused(S3Archives(threads, first), bound)


async def test_the_operators_own_endpoint_is_trusted(
    store: S3Simulator,
    credentials: dict[str, SecretStr],
    aws_environment: pytest.MonkeyPatch,
    threads: ThreadPoolExecutor,
) -> None:
    store.client().put_object(Bucket=BUCKET, Key="model.zip", Body=b"PK")
    aws_environment.setenv("AWS_ENDPOINT_URL", store.url)
    archives = S3Archives(threads, NOWHERE)

    assert (await archives.head(at(None), URI, credentials)).size_bytes == 2
    assert "loopback" in await refused(archives, at(store.url)), "in the same process"


async def test_behind_a_proxy_what_a_url_leads_to_is_looked_up_before(
    store: S3Simulator,
    resolving: list[str],
    aws_environment: pytest.MonkeyPatch,
    threads: ThreadPoolExecutor,
) -> None:
    resolving.append("169.254.169.254")
    answer = hostile.redirect("http://nowhere.example.com")
    with HostileServer(answer).running() as proxy:
        aws_environment.setenv("http_proxy", proxy.url)
        archives = S3Archives(threads, NOWHERE)

        assert "metadata" in await refused(archives, at(f"http://{NAME}"))
        assert "metadata" in await refused(archives, at("http://169.254.169.254"))
        assert proxy.requests == []
        # The proxy itself may be on loopback, and a name that only it knows is left to it.
        with pytest.raises(errors.RemoteError):
            await archives.head(at("http://only-the-proxy-knows.invalid"), URI, KEYS)
        assert proxy.requests, "it was asked"


async def test_a_redirect_of_an_endpoint_is_not_followed(threads: ThreadPoolExecutor) -> None:
    with (
        HostileServer(hostile.redirect("/elsewhere")).running() as inner,
        HostileServer(hostile.redirect(inner.url)).running() as outer,
    ):
        with pytest.raises(errors.RemoteError):
            await S3Archives(threads, HERE).list_prefix(at(outer.url), PREFIX, KEYS)

        assert outer.requests
        assert inner.requests == []


async def test_an_endless_answer_is_given_up(threads: ThreadPoolExecutor) -> None:
    stop = threading.Event()
    answer = hostile.endless(200, b"<Key>k</Key>" * 8192, stop, Content_Type="application/xml")
    with HostileServer(answer).running() as server:
        with pytest.raises(errors.Unavailable, match="does not answer as S3 does"):
            await S3Archives(threads, HERE).list_prefix(at(server.url), PREFIX, KEYS)
        with pytest.raises(errors.Unavailable, match="does not answer as S3 does"):
            await S3Archives(threads, HERE).delete_archives(at(server.url), PREFIX, KEYS)
        stop.set()


async def test_an_endless_error_is_given_up(threads: ThreadPoolExecutor) -> None:
    stop = threading.Event()
    answer = hostile.endless(403, b"<Message>no</Message>" * 8192, stop)
    with HostileServer(answer).running() as server:
        with pytest.raises(errors.Unavailable, match="does not answer as S3 does"):
            await S3Archives(threads, HERE).list_prefix(at(server.url), PREFIX, KEYS)
        stop.set()


async def test_an_answer_that_drips_is_given_up(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_guard, "MAX_SECONDS", 0.3)
    stop = threading.Event()
    with HostileServer(hostile.endless(200, b"<", stop)).running() as server:
        with pytest.raises(errors.Unavailable, match="does not answer as S3 does"):
            await S3Archives(threads, HERE).list_prefix(at(server.url), PREFIX, KEYS)
        stop.set()


async def test_a_listing_without_an_end_is_given_up(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_calls, "MAX_FILES", 50)
    pages = itertools.count()

    def answer(to: BaseHTTPRequestHandler) -> None:
        page = next(pages)
        items = "".join(
            f"<Contents><Key>weights/{page}-{i}</Key><Size>1</Size><ETag>e</ETag></Contents>"
            for i in range(10)
        )
        body = (
            "<ListBucketResult><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{page}</NextContinuationToken>{items}</ListBucketResult>"
        ).encode()
        hostile.start(to, 200, Content_Length=str(len(body)), Content_Type="application/xml")
        to.wfile.write(body)

    with (
        HostileServer(answer).running() as server,
        pytest.raises(errors.Rejected, match="more than 50 files"),
    ):
        await S3Archives(threads, HERE).list_prefix(at(server.url), PREFIX, KEYS)
    assert next(pages) < 10


@pytest.mark.parametrize(
    ("code", "told"),
    [("AccessDenied", "AccessDenied"), ("https://evil.example.com/?t=", "HTTP status 403")],
)
async def test_a_refusal_says_no_more_than_its_code(
    code: str, told: str, threads: ThreadPoolExecutor
) -> None:
    body = f"<Error><Code>{code}</Code><Message>look at s3cret words</Message></Error>".encode()

    def answer(to: BaseHTTPRequestHandler) -> None:
        hostile.start(to, 403, Content_Length=str(len(body)), Content_Type="application/xml")
        to.wfile.write(body)

    with HostileServer(answer).running() as server:
        with pytest.raises(errors.Forbidden) as caught:
            await S3Archives(threads, HERE).list_prefix(at(server.url), PREFIX, KEYS)

        assert str(caught.value) == f"{PREFIX}: {told}"


# The URL that a user signed.


def behind(url: str) -> BehindUrl:
    return BehindUrl(SecretStr(f"{url}/model.zip?X-Amz-Signature=s3cret"))


async def looked(
    threads: ThreadPoolExecutor, policy: AddressPolicy, url: str
) -> errors.OperatorError:
    """The error of a look at what is behind a URL."""
    inspector = SourceInspector("https://hub.invalid", threads, policy)
    with pytest.raises(errors.OperatorError) as caught:
        await inspector.inspect(behind(url), "r1", None)
    assert "s3cret" not in str(caught.value)
    return caught.value


async def test_a_signed_url_on_loopback_is_never_connected_to(
    resolving: list[str], threads: ThreadPoolExecutor
) -> None:
    resolving.append("127.0.0.1")
    with HostileServer(hostile.redirect("/")).running() as server:
        for url in (server.url, f"http://{NAME}:{port_of(server.url)}"):
            error = await looked(threads, NOWHERE, url)
            assert isinstance(error, errors.InputError)
            assert error.reason is Reason.ADDRESS_REFUSED
        assert server.requests == []


async def test_a_redirect_of_a_signed_url_is_not_followed(threads: ThreadPoolExecutor) -> None:
    with (
        HostileServer(hostile.redirect("/")).running() as inner,
        HostileServer(hostile.redirect(inner.url)).running() as outer,
    ):
        error = await looked(threads, HERE, outer.url)

        assert "the URL answers 307" in str(error)
        assert (len(outer.requests), inner.requests) == (1, [])


async def test_a_signed_url_that_sends_without_an_end_is_given_up(
    threads: ThreadPoolExecutor,
) -> None:
    stop = threading.Event()
    answer = hostile.endless(206, b"PK" * 65536, stop, Content_Range="bytes 0-0/1000000000000")
    with HostileServer(answer).running() as server:
        error = await looked(threads, HERE, server.url)
        stop.set()

    assert "sends more than the range" in str(error)


async def test_a_signed_url_that_drips_is_given_up(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_MAX_SECONDS", -1.0)
    stop = threading.Event()
    answer = hostile.endless(206, b"P", stop, Content_Range="bytes 0-0/1000")
    with HostileServer(answer).running() as server:
        error = await looked(threads, HERE, server.url)
        stop.set()

    assert "takes too long" in str(error)
