"""Fixtures of the simulators: `together_sim`, `hub_sim` and `s3_sim`, fresh for each test.

They run in threads, so tests that block can use them as well as asynchronous ones. A conftest
makes them known by importing them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import HubSimulator, with_minilm
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.tiny_models import write_model
from tests.support.simulators.together import TogetherSimulator

TINY_EMBEDDING = "tiny/embedding"
"""A BertModel, to be based on `sentence-transformers/all-MiniLM-L6-v2`."""

TINY_CHAT = "tiny/chat"
"""A Qwen2ForCausalLM, to be based on `Qwen/Qwen2.5-0.5B-Instruct`."""


@pytest.fixture(scope="session")
def tiny_repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of small complete models, by their names on the hub."""
    directory = tmp_path_factory.mktemp("tiny")
    return {
        TINY_EMBEDDING: write_model(directory / "embedding", architecture="BertModel"),
        TINY_CHAT: write_model(directory / "chat", architecture="Qwen2ForCausalLM"),
    }


@pytest.fixture
def hub_sim(tiny_repositories: dict[str, Path]) -> Iterator[HubSimulator]:
    """A hub that has the real all-MiniLM-L6-v2 and two tiny models."""
    hub = with_minilm(HubSimulator())
    for name, directory in tiny_repositories.items():
        hub.add_repository(name, directory)
    with InThread(hub):
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
