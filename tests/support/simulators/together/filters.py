"""Filter expressions of lists (`name = "x" AND NOT state = "…"`), ordering and cursors."""

import base64
import binascii
import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tests.support.simulators.together.clock import parse_rfc3339
from tests.support.simulators.together.errors import invalid
from tests.support.simulators.together.records import Record

R = TypeVar("R", bound=Record)
Predicate = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op><=|>=|!=|=|<|>|:)"""
    r"""|(?P<paren>[()])|(?P<word>[A-Za-z_][\w./*-]*))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_TIMES = ("created_at", "updated_at")


def parse_filter(text: str, fields: tuple[str, ...]) -> Predicate:
    """Turn a filter into a predicate over `{field: value}`.

    A value may be a tuple: any of its members may match (a name is given bare or qualified).
    Raises ApiError 400 for what the grammar does not know, and for fields outside `fields`.
    """
    if not text.strip():
        return lambda _: True
    parser = _Parser(_tokens(text), fields)
    predicate = parser.disjunction()
    if parser.peek() is not None:
        raise invalid(f"filter: unexpected {parser.peek()!r}")
    return predicate


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise invalid(f"filter: can't read {text[position:]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent: OR binds weaker than AND, which binds weaker than NOT."""

    def __init__(self, tokens: list[tuple[str, str]], fields: tuple[str, ...]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._next = 0

    def peek(self) -> str | None:
        """The next token's text."""
        return self._tokens[self._next][1] if self._next < len(self._tokens) else None

    def disjunction(self) -> Predicate:
        """`a OR b`."""
        terms = [self._conjunction()]
        while self._word("OR"):
            terms.append(self._conjunction())
        return lambda values: any(term(values) for term in terms)

    def _conjunction(self) -> Predicate:
        terms = [self._negation()]
        while self._word("AND"):
            terms.append(self._negation())
        return lambda values: all(term(values) for term in terms)

    def _negation(self) -> Predicate:
        if self._word("NOT"):
            inner = self._negation()
            return lambda values: not inner(values)
        if self.peek() == "(":
            self._next += 1
            inner = self.disjunction()
            if self.peek() != ")":
                raise invalid("filter: missing )")
            self._next += 1
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        name = self._take("word", "a field name")
        if name not in self._fields:
            raise invalid(f"filter: unknown field {name!r}, use {', '.join(self._fields)}")
        op = self._take("op", "an operator")
        kind, raw = self._advance("a value")
        wanted = re.sub(r"\\(.)", r"\1", raw[1:-1]) if kind == "string" else raw
        if name in _TIMES:
            return _time_comparison(name, op, wanted)
        return _text_comparison(name, op, wanted)

    def _word(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self._next += 1
        return True

    def _advance(self, what: str) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise invalid(f"filter: {what} is missing at the end")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, kind: str, what: str) -> str:
        found, text = self._advance(what)
        if found != kind:
            raise invalid(f"filter: {what} expected, not {text!r}")
        return text


def _time_comparison(name: str, op: str, wanted: str) -> Predicate:
    if op not in _COMPARE:
        raise invalid(f"filter: {name} has no operator {op!r}")
    try:
        moment = parse_rfc3339(wanted)
    except ValueError as error:
        raise invalid(f"filter: {name} needs an RFC 3339 timestamp") from error
    return lambda values: _COMPARE[op](values[name], moment)


def _text_comparison(name: str, op: str, wanted: str) -> Predicate:
    if op == ":":
        pattern = wanted if "*" in wanted else f"*{wanted}*"
        return lambda values: any(_glob(v, pattern) for v in _alternatives(values[name]))
    if op not in ("=", "!="):
        raise invalid(f"filter: {name} has no operator {op!r}")
    if op == "=":
        return lambda values: any(_glob(v, wanted) for v in _alternatives(values[name]))
    return lambda values: not any(_glob(v, wanted) for v in _alternatives(values[name]))


def _alternatives(value: Any) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def _glob(value: str, pattern: str) -> bool:
    if "*" not in pattern:
        return value == pattern
    return fnmatch.fnmatchcase(value, re.sub(r"([?\[])", r"[\1]", pattern))


def order(records: Iterable[R], order_by: str) -> Iterable[R]:
    """Records (which come newest first) in the order that a request asks for."""
    if not order_by:
        return records
    field, _, direction = order_by.strip().partition(" ")
    if field not in _TIMES or direction not in ("", "asc", "desc"):
        raise invalid(f"orderBy: {order_by!r} is not created_at or updated_at with asc or desc")
    return sorted(
        records, key=lambda record: (getattr(record, field), record.seq), reverse=direction != "asc"
    )


def encode_cursor(seq: int) -> str:
    """The opaque cursor that continues after the record with this `seq`."""
    return base64.urlsafe_b64encode(f"seq:{seq}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The `seq` in a cursor; ApiError 400 when it is not one of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return int(text.removeprefix("seq:"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("after: not a cursor of this list") from error
