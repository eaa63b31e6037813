"""The two drivers that every expectation of the port is put to."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from tests.contract.sdk_driver import SdkDriver
from tests.support.simulators.together import TogetherSimulator

from together_operator.adapters.together_v2 import TogetherV2
from together_operator.ports import ModelProvider

DRIVERS: dict[str, type[SdkDriver] | type[TogetherV2]] = {"sdk": SdkDriver, "adapter": TogetherV2}


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


@pytest.fixture(params=list(DRIVERS))
async def drivers(request: pytest.FixtureRequest) -> AsyncIterator[Drivers]:
    """The official SDK, and our own adapter."""
    made = Drivers(request.param)
    yield made
    await made.close()


@pytest.fixture
def provider(drivers: Drivers, together_sim: TogetherSimulator) -> ModelProvider:
    """A provider with a good key."""
    return drivers.connect(together_sim.url, together_sim.key)
