"""The ledger: what was sent without an answer is remembered, and nothing is sent by the deposed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from together_operator.api.v1alpha1 import Intent
from together_operator.domain import errors
from together_operator.reconcilers.ledger import Ledger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INTENT = Intent(kind="Model", name="m", since=NOW, holder="me")


async def lost() -> None:
    raise errors.Ambiguous("no answer")


async def refused() -> None:
    raise errors.Conflict("taken")


async def test_what_was_sent_is_remembered_until_it_is_forgotten() -> None:
    ledger = Ledger(lambda: NOW)
    with pytest.raises(errors.Ambiguous):
        await ledger.send("uid", "Model", lost)
    assert ledger.last_sent("uid", INTENT) == NOW
    assert ledger.last_sent("other", INTENT) is None
    ledger.forget("uid")
    assert ledger.last_sent("uid", INTENT) is None


async def test_what_was_refused_did_not_happen() -> None:
    ledger = Ledger(lambda: NOW)
    with pytest.raises(errors.Conflict):
        await ledger.send("uid", "Model", refused)
    assert ledger.last_sent("uid", INTENT) is None


async def test_nothing_is_sent_once_another_process_may_act() -> None:
    sent = []

    async def create() -> None:
        sent.append("create")

    ledger = Ledger(lambda: NOW, lambda: False)
    with pytest.raises(errors.Unavailable, match="Another process"):
        await ledger.send("uid", "Model", create)
    assert sent == []
    assert ledger.last_sent("uid", INTENT) is None


async def test_a_new_object_has_nothing_until_something_is_sent_for_it() -> None:
    ledger = Ledger(lambda: NOW)
    assert not ledger.has_nothing("uid")
    ledger.begun("uid")
    assert ledger.has_nothing("uid")
    with pytest.raises(errors.Conflict):
        await ledger.send("uid", "Model", refused)
    assert not ledger.has_nothing("uid")


async def test_who_is_gone_is_not_remembered_as_new() -> None:
    ledger = Ledger(lambda: NOW)
    ledger.begun("uid")
    ledger.forget("uid")
    assert not ledger.has_nothing("uid")


async def made() -> str:
    return "made"


async def test_when_something_was_created_is_known_until_the_object_is_gone() -> None:
    now = [NOW]
    ledger = Ledger(lambda: now[0])
    with pytest.raises(errors.Conflict):
        await ledger.send("uid", "Model", refused)
    assert ledger.last_created("uid") is None

    await ledger.send("uid", "Model", made)
    ledger.forget("uid")
    assert ledger.last_created("uid") == NOW, "its result is stored, and lists may lag all the same"

    now[0] = NOW + timedelta(seconds=9)
    with pytest.raises(errors.Ambiguous):
        await ledger.send("uid", "Model", lost)
    assert ledger.last_created("uid") == now[0]
    assert ledger.last_created("other") is None
    ledger.gone("uid")
    assert ledger.last_created("uid") is None
