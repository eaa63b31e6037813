"""The drivers that every expectation of the port is put to: the SDK, our adapter, the fake."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from tests.contract.sdk_driver import SdkDriver
from tests.support.fakes.catalog import EMBEDDING
from tests.support.fakes.ground import Timing
from tests.support.fakes.network import Lags, Network, Wire
from tests.support.fakes.platform import Platform
from tests.support.fakes.stores import Repository, Stores
from tests.support.fakes.together import FakeTogether
from tests.support.fakes.virtual_time import EPOCH
from tests.support.simulators.pytest_plugin import TINY_EMBEDDING
from tests.support.simulators.together import TogetherSimulator
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.ports import ModelProvider

DRIVERS: dict[str, type[SdkDriver] | type[TogetherV2]] = {"sdk": SdkDriver, "adapter": TogetherV2}
FAKE = "fake"
SIMULATED = {"together_sim", "hub_sim", "s3_sim", "drivers"}
"""Fixtures of tests that speak to a simulator themselves, which the fake does not have."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put each expectation to the SDK and the adapter, and where it can be, to the fake."""
    if "driver_kind" in metafunc.fixturenames:
        fakes = [] if SIMULATED & set(metafunc.fixturenames) else [FAKE]
        metafunc.parametrize("driver_kind", [*DRIVERS, *fakes])


class Drivers:
    """Makes providers of one kind, and closes them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._made: list[SdkDriver | TogetherV2] = []

    def connect(self, url: str, key: str, project_id: str | None = None) -> ModelProvider:
        """A provider for a key."""
        driver = DRIVERS[self.kind](SecretStr(key), url, project_id=project_id)
        self._made.append(driver)
        return driver

    async def close(self) -> None:
        """Close all of them."""
        for driver in self._made:
            await driver.close()


@pytest.fixture
async def drivers(driver_kind: str) -> AsyncIterator[Drivers]:
    """The official SDK, and our own adapter."""
    made = Drivers(driver_kind)
    yield made
    await made.close()


@pytest.fixture
async def provider(
    driver_kind: str, request: pytest.FixtureRequest
) -> AsyncIterator[ModelProvider]:
    """A provider with a good key."""
    if driver_kind == FAKE:
        yield fake_provider()
        return
    made = Drivers(driver_kind)
    simulator: TogetherSimulator = request.getfixturevalue("together_sim")
    yield made.connect(simulator.url, simulator.key)
    await made.close()


def fake_provider() -> FakeTogether:
    """The simulation's provider, in real time and hurried."""
    loop = asyncio.get_running_loop()
    stores = Stores(loop)
    stores.repositories[TINY_EMBEDDING] = Repository("commit-1", EMBEDDING)
    hurried = Timing(*[0.02] * 7)
    platform = Platform(time.monotonic, EPOCH, stores.fetch, hurried, {"key"})
    network = Network(
        loop, random.Random(1), lambda _: None, Lags(), lambda _: None, lambda _: None
    )
    return FakeTogether(platform, Wire(network), SecretStr("key"))
