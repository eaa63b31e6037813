"""Each part of the protocol is needed: without it, the simulation finds something wrong.

Only consequences are judged here (`strict=False`): that a create was not announced counts for
nothing by itself, that something was bought twice or left behind does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from tests.sim import sweep
from tests.sim.simulation import Simulation
from tests.sim.sweep import SCENARIOS, Case
from together_operator.domain.custom_model.actions import DeleteModel
from together_operator.domain.plan import Plan, RemoveFinalizer
from together_operator.reconcilers.custom_model import CustomModelReconciler
from together_operator.reconcilers.deployment import DeploymentReconciler
from together_operator.reconcilers.driver import Reconciler

DOMAIN = "together_operator.domain"
Mutate = Callable[[pytest.MonkeyPatch], None]
SUBJECTS = ("hub_repository", "deployed")
EVERY = 2


def without_intents(patch: pytest.MonkeyPatch) -> None:
    """The intent is decided on, but never stored."""
    record = Reconciler._record

    async def forgetful(self: Any, body: Any, resource: Any, status: Any, **how: Any) -> Any:
        without = status.model_copy(update={"intent": None})
        return await record(self, body, resource, without, **how)

    patch.setattr(Reconciler, "_record", forgetful)


def without_a_look(patch: pytest.MonkeyPatch) -> None:
    """What an intent may have started is not looked for."""
    gather_model = CustomModelReconciler.gather
    gather_deployment = DeploymentReconciler.gather

    async def blind_to_imports(self: Any, resource: Any) -> Any:
        seen = await gather_model(self, resource)
        return replace(seen, imports=()) if seen.intent("Import") is not None else seen

    async def blind_to_deployments(self: Any, resource: Any) -> Any:
        seen = await gather_deployment(self, resource)
        return replace(seen, deployments=()) if seen.intent("Deployment") is not None else seen

    patch.setattr(CustomModelReconciler, "gather", blind_to_imports)
    patch.setattr(DeploymentReconciler, "gather", blind_to_deployments)


def without_a_settle_window(patch: pytest.MonkeyPatch) -> None:
    """A look that finds nothing is believed at once."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{DOMAIN}.") and hasattr(module, "seconds_until_safe"):
            patch.setattr(module, "seconds_until_safe", lambda *_: 0.0)


def without_a_finalizer(patch: pytest.MonkeyPatch) -> None:
    """Things are made before the finalizer is there."""
    for name in ("custom_model", "deployment"):
        for module in (name, f"{name}.observed"):
            patch.setattr(import_module(f"{DOMAIN}.{module}"), "has_finalizer", lambda _: True)


def with_an_early_release(patch: pytest.MonkeyPatch) -> None:
    """The finalizer goes once the deletion was asked for, not once it was seen."""
    decide = CustomModelReconciler.decide

    def hasty(self: Any, observed: Any, now: Any) -> Any:
        found = decide(self, observed, now)
        if isinstance(found.action, DeleteModel):
            return Plan(found.status, found.outcome, RemoveFinalizer())
        return found

    patch.setattr(CustomModelReconciler, "decide", hasty)


def violations() -> Iterator[str]:
    """Of runs in which a process dies or an answer is lost, until some are found."""
    for scenario in SUBJECTS:
        yield from Simulation(sweep.SEED, strict=False).run(SCENARIOS[scenario]).violations
        for make in (sweep.kill_cases, sweep.deletion_cases, sweep.fault_cases):
            mine: list[Case] = [case for case in make(None) if case.scenario == scenario]
            for case in mine[::EVERY]:
                yield from sweep.run_case(case, strict=False)


@pytest.fixture(autouse=True)
def _undisturbed_runs_are_known() -> None:
    """The runs that faults are put into are those of the operator as it is."""
    for scenario in SCENARIOS:
        sweep.undisturbed(scenario)


@pytest.mark.parametrize(
    ("mutate", "consequence"),
    [
        (without_intents, "at the same time"),
        (without_a_look, "imported the same already"),
        (without_a_settle_window, "at the same time"),
        (without_a_settle_window, "left without an owner"),
        (without_a_finalizer, "left without an owner"),
        (with_an_early_release, "finalizer released while"),
    ],
)
def test_the_simulation_fails(
    mutate: Mutate, consequence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    found = next((v for v in violations() if consequence in v), None)
    assert found is not None, f"nothing is {consequence!r}, although: {mutate.__doc__}"
