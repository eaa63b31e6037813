"""Finds the base model of an upload in Together's catalog."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from together_operator.domain.together import SupportedModel

NEAREST = 3


@dataclass(frozen=True, slots=True)
class Unknown:
    """No entry fits; `message` says so and names the nearest ones."""

    message: str


def resolve(wanted: str | None, catalog: Sequence[SupportedModel]) -> SupportedModel | Unknown:
    """The entry that `wanted` names: by `ml_` id or by exact name.

    An id that the catalog doesn't list is taken as it is: the API knows bases that it doesn't list.
    """
    if not wanted:
        return Unknown(
            "The source does not say which base model it is built on: set spec.baseModel to an "
            "entry of Together's catalog, such as "
            + ", ".join(sorted({entry.name for entry in catalog})[:NEAREST])
        )
    if wanted.startswith("ml_"):
        listed = (entry for entry in catalog if entry.model_id == wanted)
        return next(listed, SupportedModel(name=wanted, model_id=wanted))
    found = [entry for entry in catalog if entry.name == wanted]
    ids = {entry.model_id for entry in found}
    if len(ids) == 1:
        return found[0]
    if ids:
        return Unknown(
            f"Base model {wanted!r} stands in the catalog {len(ids)} times: set spec.baseModel to "
            f"one of the ids {', '.join(sorted(ids))}"
        )
    hint = hint_at(nearest(wanted, (entry.name for entry in catalog)))
    return Unknown(
        f"Base model {wanted!r} is not in Together's catalog; {hint}. Set spec.baseModel to one "
        "that is."
    )


def nearest(wanted: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like `wanted`, the nearest first; none that is not like it at all."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), by_folded, n=NEAREST, cutoff=0.3)
    return tuple(by_folded[name] for name in near)


def hint_at(names: Sequence[str]) -> str:
    """The same in words."""
    return f"the nearest are {', '.join(names)}" if names else "nothing there has a similar name"
