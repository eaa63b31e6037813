"""Fixtures of the simulators: `together_sim`, `hub_sim` and `s3_sim`, fresh for each test.

They run in threads, so tests that block can use them as well as asynchronous ones. A conftest
makes them known by importing them.
"""

from collections.abc import Iterator

import pytest

from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import HubSimulator, with_minilm
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.together import TogetherSimulator


@pytest.fixture
def hub_sim() -> Iterator[HubSimulator]:
    """A hub that has the real all-MiniLM-L6-v2."""
    with InThread(with_minilm(HubSimulator())) as hub:
        yield hub


@pytest.fixture
def together_sim(hub_sim: HubSimulator) -> Iterator[TogetherSimulator]:
    """Together, a thousand times as fast as life, importing from `hub_sim`."""
    with InThread(TogetherSimulator(hub_url=hub_sim.url)) as together:
        yield together


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Simulator]:
    """The S3 server that `s3_sim` empties before each test (moto keeps one state a process)."""
    with S3Simulator() as server:
        yield server


@pytest.fixture
def s3_sim(s3_server: S3Simulator) -> S3Simulator:
    """An S3 server without buckets."""
    s3_server.reset()
    return s3_server
