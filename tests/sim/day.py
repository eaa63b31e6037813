"""A day on which objects come and go all the time, and what a process still has of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial

from tests.sim.manifests import ARCHIVE, PREFIX, archive, custom_model, hugging_face, s3
from tests.sim.manifests import model_deployment as deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Simulation
from tests.support.fakes.catalog import EMBEDDING
from together_operator.controllers import Controllers

HOURS = 24
HOUR = 3600.0
ROUNDS = 4
"""In an hour; each brings objects of its own names, one with a key of its own, and takes them
away again."""

OBJECTS = 6
"""In a round."""

THEIRS = "Snapshot."
"""What Together lists, which has its whole history of imports, is as long as Together has it."""


def day(seed: str) -> tuple[tuple[str, ...], list[Counter[str]]]:
    """Violations of a day, and how many things of its own the operator had after each hour."""
    kept: list[Counter[str]] = []
    outcome = Simulation(seed).run(partial(_churn, kept=kept))
    return outcome.violations, kept


async def _churn(sim: Simulation, kept: list[Counter[str]]) -> None:
    furnish(sim)
    for hour in range(HOURS):
        ends = sim.loop.time() + HOUR
        for number in range(ROUNDS):
            await _come_and_go(sim, f"{hour}-{number}")
        await sim.sleep(ends - sim.loop.time())
        (run,) = sim.runs.values()
        found = things(run.controllers)
        kept.append(Counter({p: n for p, n in found.items() if not p.startswith(THEIRS)}))


async def _come_and_go(sim: Simulation, mark: str) -> None:
    key = f"tgp_of_{mark}"
    sim.add_project(f"p-{mark}", key)
    sim.secrets.put(NAMESPACE, f"key-{mark}", {"TOGETHER_API_KEY": key})
    own_key = {"name": f"key-{mark}"}
    models = (
        custom_model(f"elsewhere-{mark}", hugging_face(), apiKeySecretRef=own_key),
        custom_model(f"hub-{mark}", hugging_face()),
        custom_model(f"object-{mark}", s3(ARCHIVE), baseModel=EMBEDDING),
        custom_model(f"prefix-{mark}", s3(PREFIX), archive=archive(), baseModel=EMBEDDING),
        custom_model(f"wrong-{mark}", hugging_face("acme/nothing")),
    )
    sim.apply(*models, deployment(f"d-{mark}", f"hub-{mark}"))
    await sim.ready(DEPLOYMENT, f"d-{mark}")
    for name in (f"object-{mark}", f"prefix-{mark}"):
        await sim.ready(MODEL, name)
    # `sim.ready` would look for it in the first project.
    await sim.until(lambda: sim.is_ready(MODEL, f"elsewhere-{mark}"), "the other key's is ready")
    sim.set_spec(DEPLOYMENT, f"d-{mark}", replicas=2)
    await sim.sleep(60.0)
    await sim.ready(DEPLOYMENT, f"d-{mark}")
    sim.delete(DEPLOYMENT, f"d-{mark}")
    for model in models:
        sim.delete(MODEL, model["metadata"]["name"])
    await sim.all_gone()


def things(controllers: Controllers) -> Counter[str]:
    """How many things the operator's own objects have in dictionaries, lists and sets, by where.

    The ports' fakes, which stand for the world outside, are not looked into.
    """
    counts: Counter[str] = Counter()
    known: dict[int, object] = {}
    ahead: list[tuple[str, object]] = [("", controllers)]
    while ahead:
        place, thing = ahead.pop()
        if id(thing) in known:
            continue
        known[id(thing)] = thing
        if isinstance(thing, Mapping):
            counts[place] += len(thing)
            ahead += [(place, part) for pair in thing.items() for part in pair]
        elif isinstance(thing, list | set | deque):
            counts[place] += len(thing)
            ahead += [(place, part) for part in thing]
        elif isinstance(thing, tuple):
            ahead += [(place, part) for part in thing]
        elif type(thing).__module__.startswith("together_operator."):
            ahead += [(f"{type(thing).__name__}.{name}", part) for name, part in _parts(thing)]
    return counts


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(thing, name):
                yield name, getattr(thing, name)
