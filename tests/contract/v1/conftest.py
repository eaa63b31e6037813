"""Both ways to call v1: the official SDK 2.42.0, and our own HTTP calls."""

from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr

from tests.contract.v1.sdk_calls import SdkCalls, install
from tests.support.simulators.together import TogetherSimulator
from together_operator.adapters.together_v1 import TogetherV1
from together_operator.ports import ModelProvider

Connect = Callable[[str], TogetherV1]


@pytest.fixture(scope="session")
def sdk() -> None:
    """The SDK in its folder."""
    install()


@pytest.fixture(params=["sdk", "adapter"])
async def connect(
    request: pytest.FixtureRequest, together_sim: TogetherSimulator, sdk: None
) -> AsyncIterator[Connect]:
    """Makes a provider for a key, like another process of the operator would."""
    made: list[TogetherV1] = []
    processes: list[SdkCalls] = []

    def new(key: str) -> TogetherV1:
        calls = SdkCalls(together_sim.url, key) if request.param == "sdk" else None
        processes.extend([calls] if calls is not None else [])
        made.append(TogetherV1(SecretStr(key), together_sim.url, calls=calls))
        return made[-1]

    yield new
    for provider in made:
        await provider.close()
    for calls in processes:
        await calls.close()


@pytest.fixture
def provider(connect: Connect, together_sim: TogetherSimulator) -> ModelProvider:
    """A provider with a good key."""
    return connect(together_sim.key)
