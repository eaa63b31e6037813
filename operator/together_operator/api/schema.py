"""What a pydantic model says about its CRD beyond types: CEL rules, printer columns, names.

Kept apart from the generator (`crd.py`), which only `make crds` and `plan` need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.config import JsonDict
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]


@dataclass(frozen=True, slots=True)
class CEL:
    """A rule that the API server checks; also usable as `Annotated` metadata of a field's type.

    Args:
        rule: a CEL expression over `self`; with `oldSelf` it is checked on updates only.
        message: field, problem and remedy in one line.
        field_path: the field to blame, relative to where the rule stands (`.archive`).
        reason: the API server's word before the message.
    """

    rule: str
    message: str
    field_path: str | None = None
    reason: Reason = "FieldValueInvalid"

    def as_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        entry = {"rule": self.rule, "message": self.message}
        if self.field_path is not None:
            entry["fieldPath"] = self.field_path
        if self.reason != "FieldValueInvalid":
            entry["reason"] = self.reason
        return entry

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        schema[VALIDATIONS] = [*schema.get(VALIDATIONS, []), self.as_schema()]
        return schema


def rules(*cel: CEL) -> JsonDict:
    """The rules of a whole model, for `ConfigDict(json_schema_extra=rules(...))`."""
    return {VALIDATIONS: [dict[str, Any](rule.as_schema()) for rule in cel]}


def immutable(field: str, remedy: str) -> CEL:
    """An optional field of the annotated object that can't be changed, set later or removed."""
    return CEL(
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} cannot be changed, added or removed: {remedy}",
        field_path=f".{field}",
        reason="FieldValueForbidden",
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; priority 1 shows it with `-o wide` only."""

    name: str
    json_path: str
    description: str
    type: Literal["string", "integer", "date"] = "string"
    priority: Literal[0, 1] = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a kind's CRD says besides its schema.

    Args:
        scale: JSON paths of the scale subresource: desired replicas, actual ones, label selector.
    """

    kind: str
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    scale: tuple[str, str, str] | None = None

    @property
    def singular(self) -> str:
        """The lower-case name that `kubectl get` takes."""
        return self.kind.lower()
