"""The comparison with Together by an operator that serves only some namespaces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr

from tests.support.fakes.kubernetes import FakeEvents, FakeGate
from together_operator.domain import errors
from together_operator.domain.orphans import OrphanKind
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.orphans import Comparison, OrphanWatch

if TYPE_CHECKING:
    from together_operator.engine.store import Body
    from together_operator.ports import ModelProvider


class _Inventory:
    """A model with a key of its own in each of two namespaces."""

    async def bodies(self) -> AsyncIterator[Body]:
        reference = {"name": "together", "key": "api-key"}
        for namespace in ("served", "foreign"):
            metadata = {"namespace": namespace, "name": "llama"}
            yield {"metadata": metadata, "spec": {"apiKeySecretRef": reference}, "status": {}}


class _Nothing:
    """Together without anything."""

    async def list_models(self) -> list[Any]:
        return []

    list_endpoints = list_imports = list_models


class _Secrets:
    """Readable in the served namespace only, as Roles make it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        self.asked.append(namespace)
        if namespace != "served":
            raise errors.SecretUnavailable(name, None, "the operator may not read it")
        return {"api-key": SecretStr("a-key")}


class _Meter:
    def __init__(self) -> None:
        self.told: list[dict[str, int]] = []

    def compared(self, left: dict[str, int]) -> None:
        self.told.append(left)


async def test_keys_of_namespaces_that_are_not_served_are_left_alone() -> None:
    secrets, meter = _Secrets(), _Meter()
    accounts = Accounts(None, lambda _: cast("ModelProvider", _Nothing()), secrets)
    objects = _Inventory()
    comparison = Comparison(accounts, objects, objects, "cluster", ("served",))
    subject = {"metadata": {"uid": "lease"}}

    await OrphanWatch(comparison, FakeGate(), FakeEvents(), meter, subject).compare()

    assert secrets.asked == ["served"]
    assert meter.told == [dict.fromkeys(OrphanKind, 0)]
