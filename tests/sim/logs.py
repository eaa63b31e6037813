"""What a run logs, kept to be searched for secrets."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

_lines: list[str] = []


@contextmanager
def kept_in(lines: list[str]) -> Iterator[None]:
    """Everything that is logged meanwhile goes here, crashes with their stacks, and nowhere else.

    Loggers that were cached before this module was imported would escape: tests/sim/test_judge.py
    sees to it that none does.
    """
    before = structlog.get_config()
    _lines.clear()
    structlog.configure(
        processors=[_keep],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        lines += _lines
        structlog.configure(**before)


def _keep(_: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    stack = traceback.format_exc() if event.pop("exc_info", None) else ""
    _lines.append(f"{level} {dict(event)} {stack}".rstrip())
    raise structlog.DropEvent
