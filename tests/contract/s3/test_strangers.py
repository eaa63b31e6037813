"""Calls to endpoints that hang: they end for who waits, and hold up only their like."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.s3.conftest import BUCKET, HERE
from tests.contract.s3.hostile import HostileServer
from together_operator.adapters.s3 import S3Archives
from together_operator.adapters.strangers import Strangers
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain import errors

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from http.server import BaseHTTPRequestHandler

    from pydantic import SecretStr

    from tests.support.simulators.s3 import S3Simulator

LONG = 30.0


async def test_a_call_returns_or_raises_as_it_would() -> None:
    strangers = Strangers(1, LONG)

    def fail() -> None:
        raise errors.NotFound("gone")

    assert await strangers.run(lambda: 7) == 7
    with pytest.raises(errors.NotFound, match="gone"):
        await strangers.run(fail)
    assert await asyncio.gather(*(strangers.run(lambda: 7) for _ in range(20))) == [7] * 20


async def test_a_call_that_hangs_is_left_alone_and_keeps_its_thread_until_it_ends() -> None:
    strangers = Strangers(1, patience=0.1, deadline=0.1)
    end = threading.Event()

    with pytest.raises(errors.Unavailable, match="takes too long"):
        await strangers.run(lambda: end.wait(LONG))
    with pytest.raises(errors.Unavailable, match="turn comes later"):
        await strangers.run(lambda: True)
    end.set()
    await asyncio.sleep(0.05)
    assert await strangers.run(lambda: 7) == 7


async def test_endpoints_that_send_headers_byte_by_byte_hold_up_no_other_store(
    store: S3Simulator,
    credentials: dict[str, SecretStr],
    aws_environment: pytest.MonkeyPatch,
    threads: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("together_operator.adapters.s3.PATIENCE", 0.2)
    monkeypatch.setattr("together_operator.adapters.strangers.DEADLINE", 0.5)
    store.client().put_object(Bucket=BUCKET, Key="model.zip", Body=b"PK")
    aws_environment.setenv("AWS_ENDPOINT_URL", store.url)
    end = threading.Event()

    def drip(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not end.wait(0.05):
            to.wfile.write(b".")

    uri = f"s3://{BUCKET}/model.zip"
    with HostileServer(drip).running() as server:
        archives = S3Archives(threads, HERE)
        slow = S3Location(region="us-east-1", endpoint_url=server.url)
        hanging = [asyncio.create_task(archives.head(slow, uri, credentials)) for _ in range(40)]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        found = await archives.head(S3Location(region="us-east-1"), uri, credentials)
        assert found.size_bytes == 2
        assert time.monotonic() - began < LONG / 2
        ended = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(error) for error in ended} == {errors.Unavailable}
        end.set()
