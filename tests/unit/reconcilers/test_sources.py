"""A look at a source ends, whatever the servers do that are asked."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from together_operator.api.v1alpha1 import CustomModel
from together_operator.domain.archive_manifest import Worker
from together_operator.domain.backoff import Backoff
from together_operator.domain.errors import Unavailable
from together_operator.domain.plan import Process
from together_operator.domain.source import SourceFacts
from together_operator.reconcilers.driver import World
from together_operator.reconcilers.ledger import Ledger
from together_operator.reconcilers.sources import LOOK_SECONDS, Outside, Sources

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class EndlessHub:
    """`Hub` that answers never."""

    async def look(self, repo: str, token: SecretStr | None, revision: str | None) -> SourceFacts:
        await asyncio.Event().wait()
        raise AssertionError(f"{repo} {token} {revision}")


def sources(hub: EndlessHub) -> Sources:
    nobody = cast("Any", SimpleNamespace())
    process = Process("cluster", "holder-1", NOW, 30.0, 10.0, Backoff(1.0, 60.0))
    world = World(process, nobody, nobody, Ledger(lambda: NOW), lambda: NOW, random.Random(1))
    outside = Outside(nobody, nobody, nobody, nobody, cast("Any", hub), Worker("image"))
    return Sources(world, outside, lambda: 1)


@pytest.mark.looptime
async def test_a_source_that_never_answers_is_left_alone() -> None:
    metadata = {"namespace": "team", "name": "a", "uid": "uid-a", "resourceVersion": "1"}
    cm = CustomModel.model_validate(
        {"metadata": metadata, "spec": {"source": {"huggingFace": {"repo": "acme/one"}}}}
    )
    began = asyncio.get_running_loop().time()

    with pytest.raises(Unavailable, match="takes too long"):
        async with asyncio.timeout(LOOK_SECONDS * 10):
            await sources(EndlessHub()).look(cm)

    assert asyncio.get_running_loop().time() - began == pytest.approx(LOOK_SECONDS)
