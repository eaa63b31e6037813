"""A process that another one may have replaced sends nothing that changes anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.contract.situations import base_model_id
from tests.support.simulators.together import TogetherSimulator
from together_operator.adapters.together_v2 import TogetherV2, connections
from together_operator.domain import errors
from together_operator.domain.together import ModelChange, NewModel

Write = Callable[[TogetherV2, str], Awaitable[object]]


class Gate:
    """Held for the next `looks`, or until it is told otherwise."""

    def __init__(self) -> None:
        self.looks: int | None = None

    def is_held(self) -> bool:
        """As long as there are looks left."""
        if self.looks is None:
            return True
        self.looks -= 1
        return self.looks >= 0


async def create_endpoint(adapter: TogetherV2, model_id: str) -> object:
    return await adapter.create_endpoint("e")


async def update_model(adapter: TogetherV2, model_id: str) -> object:
    return await adapter.update_model(model_id, ModelChange(description="new"))


async def delete_model(adapter: TogetherV2, model_id: str) -> object:
    await adapter.delete_model(model_id)
    return None


@pytest.mark.parametrize(
    ("write", "looks"),
    [
        (create_endpoint, 0),
        (create_endpoint, 1),
        (update_model, 0),
        (update_model, 1),
        (delete_model, 0),  # it has no body: the headers are all of it
    ],
)
async def test_what_is_not_written_whole_did_not_happen(
    together_sim: TogetherSimulator, write: Write, looks: int
) -> None:
    """The first look is before the headers, the second before the body."""
    gate = Gate()
    async with connections(gate.is_held) as http:
        adapter = TogetherV2(together_sim.secret, together_sim.url, http=http)
        new = NewModel("m", await base_model_id(adapter), "model", "")
        model = await adapter.create_model(new)
        before = together_sim.audit()

        gate.looks = looks
        with pytest.raises(errors.Unavailable, match="Another process may act"):
            await write(adapter, model.id)

        assert together_sim.audit() == before
        assert [m.description for m in await adapter.list_models()] == [""], "reads go on"

        gate.looks = None
        await write(adapter, model.id)
        assert len(together_sim.audit()) == len(before) + 1
