"""Fields of Together's JSON: integers may be strings, anything may be absent."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from together_operator.domain import errors

T = TypeVar("T")
Json = dict[str, Any]


class MalformedError(Exception):
    """An answer lacks what the API promises; the message names the field and no value."""


def understood(parse: Callable[[], T], kind: type[errors.RemoteError] = errors.Unavailable) -> T:
    """What an answer says; raises `kind` where it lacks something."""
    try:
        return parse()
    except MalformedError as error:
        problem = f"Together's answer can't be understood: {error} is missing or odd"
    raise kind(problem)


def id_of(data: Json) -> str:
    """The id, which every record has; raises MalformedError."""
    return required_of(data, "id")


def required_of(data: Json, name: str) -> str:
    """A string that must be there; raises MalformedError."""
    value = text_of(data, name)
    if not value:
        raise MalformedError(name)
    return value


def text_of(data: Json, name: str) -> str:
    """A string; empty when it is missing or something else."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def enum_of(data: Json, name: str, prefix: str) -> str:
    """The last word of a fully qualified enumeration value."""
    return text_of(data, name).removeprefix(prefix)


def integer_of(data: Json, name: str) -> int:
    """An integer, which may be written as a string; 0 when it is missing."""
    value = data.get(name)
    if value is None or value == "":
        return 0
    return int(float_of(value))


def float_of(value: object) -> float:
    """A finite number, which may be written as a string; raises MalformedError."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        raise MalformedError("a number") from None
    if not math.isfinite(number):
        raise MalformedError("a number")
    return number


def object_of(data: Json, name: str) -> Json:
    """An object; empty when it is missing."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def list_of(data: Json, name: str) -> list[Json]:
    """The objects of a list."""
    value = data.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def time_of(data: Json, name: str) -> datetime | None:
    """A moment with a time zone; None when it is missing or something else."""
    try:
        moment = datetime.fromisoformat(text_of(data, name))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
