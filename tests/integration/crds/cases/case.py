"""A case of the table, and how a field's values become cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.integration.crds.manifests import Manifest, changed

ENUM = "supported values"
PATTERN = "should match"
TOO_SMALL = "should be greater than or equal to"
TOO_BIG = "should be less than or equal to"
"""What the API server says of values that break the schema's keywords."""


@dataclass(frozen=True)
class Refusal:
    """A cause in the API server's answer: the field, and words of the message about it."""

    field: str
    message: str


@dataclass(frozen=True)
class Case:
    """A manifest that is created, or that updates `before`; `status` is written on its own.

    Args:
        status: the status that `before` gets, or, where there is no `before`, the one that is
            tried on an object made from `manifest`.
    """

    name: str
    manifest: Manifest
    refused: Refusal | None = None
    before: Manifest | None = None
    status: Manifest | None = None

    def __str__(self) -> str:
        return f"{self.manifest['kind']}: {self.name}"


def values(
    manifest: Manifest, path: str, *, accepted: tuple[Any, ...] = (), refused: dict[Any, str]
) -> list[Case]:
    """A case for each value of one field; a refused one goes with words of the message."""
    return [
        *(Case(f"{path}={value!s:.40}", changed(manifest, {path: value})) for value in accepted),
        *(
            Case(f"{path}={value!s:.40}", changed(manifest, {path: value}), Refusal(path, message))
            for value, message in refused.items()
        ),
    ]


def statuses(
    manifest: Manifest,
    status: Manifest,
    path: str,
    *,
    accepted: tuple[Any, ...] = (),
    refused: dict[Any, str],
) -> list[Case]:
    """The same for a field of the status."""
    return [
        *(
            Case(f"status.{path}={value}", manifest, status=changed(status, {path: value}))
            for value in accepted
        ),
        *(
            Case(
                f"status.{path}={value}",
                manifest,
                Refusal(f"status.{path}", message),
                status=changed(status, {path: value}),
            )
            for value, message in refused.items()
        ),
    ]
