"""What a CRD says about a manifest, as far as that can be told without an API server.

Types and bounds are told by the models, which drop fields that they don't know; those are told by
the schema, and so are the CEL rules that hold a value or a field against a constant, which are most
of them. The others need a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from together_operator.api.crd import structural_schema
from together_operator.api.schema import VALIDATIONS
from together_operator.api.v1alpha1 import CustomModel, Resource
from together_operator.api.v1alpha1.custom_model import ARCHIVE_REQUIRED

Schema = Mapping[str, Any]
Rule = Callable[[Any], bool]

_ONE_OF = re.compile(r"\[(.+)\]\.filter\(given, given\)\.size\(\) == 1")
_DIFFER = re.compile(r"has\(self\.(\w+)\) != has\(self\.(\w+)\)")
_HAS = re.compile(r"has\(self\.(\w+)\)")
_TERM = re.compile(
    r"(?P<no>!)?(?:"
    r"has\(self\.(?P<given>\w+)\)"
    r"|self\.(?P<call>matches|contains|startsWith|endsWith)\('(?P<text>[^']*)'\)"
    r"|self\.(?P<field>\w+) (?P<sign>[!=]=) '(?P<constant>[^']*)'"
    r")"
)
_CALLS: Mapping[str, Callable[[str, str], bool]] = {
    "matches": lambda value, text: re.search(text, value) is not None,
    "contains": lambda value, text: text in value,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def problem(kind: type[Resource], body: Mapping[str, Any]) -> str | None:
    """The first problem of a manifest, with its field; None: none is known without a cluster."""
    stored = {name: value for name, value in body.items() if name != "status"}
    try:
        typed = kind.model_validate_json(json.dumps(stored), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    found = next(_problems(_schema(kind)["properties"]["spec"], body["spec"], "spec"), None)
    return found or _unpacked(typed)


def _unpacked(resource: Resource) -> str | None:
    """The rule that is broken most often of those that `parsed` doesn't know."""
    if not isinstance(resource, CustomModel):
        return None
    spec = resource.spec
    return f"spec: {ARCHIVE_REQUIRED}" if spec.source.is_packed and spec.archive is None else None


@cache
def _schema(kind: type[Resource]) -> Schema:
    return structural_schema(kind)


def _problems(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and "properties" in schema:
        fields: Mapping[str, Schema] = schema["properties"]
        for name in value:
            if name not in fields:
                yield f"{path}.{name}: there is no such field{_meant(str(name), fields)}"
        value = _defaulted(fields, value)
    for at, below, item in _parts(schema, value):
        yield from _problems(below, item, f"{path}{at}")
    yield from _broken(schema, value, path)


def _parts(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    """What a map or list holds: its place, schema and value."""
    if isinstance(value, Mapping):
        others: Schema = schema.get("additionalProperties") or {}
        fields: Mapping[str, Schema] = schema.get("properties") or {}
        for name, item in value.items():
            yield f".{name}", fields.get(name, others), item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield f"[{index}]", schema.get("items") or {}, item


def _broken(schema: Schema, value: Any, path: str) -> Iterator[str]:
    pattern = schema.get("pattern")
    if pattern is not None and not re.search(pattern, str(value)):
        yield f"{path}: {value} should match {pattern}"
    for entry in schema.get(VALIDATIONS, ()):
        rule = parsed(entry["rule"])
        if rule is not None and not rule(value):
            yield f"{path}: {entry['message']}"


def _defaulted(fields: Mapping[str, Schema], value: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: below["default"] for name, below in fields.items() if "default" in below}
    return {**defaults, **{name: given for name, given in value.items() if given is not None}}


def _meant(name: str, fields: Mapping[str, Schema]) -> str:
    near = get_close_matches(name, fields, n=1)
    return f"; did you mean {near[0]}?" if near else f": known are {', '.join(sorted(fields))}"


@cache
def parsed(rule: str) -> Rule | None:
    """A CEL rule as a function of `self`; None for one that only an API server can tell."""
    if one_of := _ONE_OF.fullmatch(rule):
        names = _HAS.findall(one_of[1])
        return lambda value: sum(name in value for name in names) == 1
    if differ := _DIFFER.fullmatch(rule):
        one, other = differ.groups()
        return lambda value: (one in value) != (other in value)
    alternatives = [
        [_term(text) for text in alternative.split(" && ")] for alternative in rule.split(" || ")
    ]
    known = [[term for term in terms if term is not None] for terms in alternatives]
    if known != alternatives:
        return None
    return lambda value: any(all(term(value) for term in terms) for terms in known)


def _term(text: str) -> Rule | None:
    term = _TERM.fullmatch(text)
    if term is None:
        return None
    wanted = term["no"] is None
    if term["given"]:
        return lambda value: (term["given"] in value) is wanted
    if term["call"]:
        call, words = _CALLS[term["call"]], term["text"].replace("\\\\", "\\")
        return lambda value: call(value, words) is wanted
    return lambda value: (value.get(term["field"]) == term["constant"]) is (term["sign"] == "==")
