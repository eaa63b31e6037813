"""Parts of libraries that are loaded when they are used, and not with the library.

`import kubernetes` loads all its clients, with their own libraries for HTTP, OAuth and websockets,
of which the operator uses one. That was a fifth of its start.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import ModuleType

UNUSED = frozenset(
    {
        *(f"kubernetes.{name}" for name in ("config", "dynamic", "informer", "leaderelection")),
        *(f"kubernetes.{name}" for name in ("stream", "utils", "watch")),
        *(f"kubernetes.aio.{name}" for name in ("dynamic", "leaderelection", "stream", "watch")),
    }
)


OPTIONAL = frozenset({"httpx._main"})
"""A library's own command line, which it does without where it can't be loaded: httpx takes it for
wanted because `rich` is there, with which `archive` shows its progress.
"""

OF_TERMINALS = frozenset({"rich"})
"""What structlog would take for its tracebacks because it is there: a twentieth of the operator's
start, whose log shows none of these."""


class _Finder:
    def __init__(self, names: Collection[str], unwanted: Collection[str]) -> None:
        self._names, self._unwanted = names, unwanted

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec whose module runs with the first look into it."""
        if name in self._unwanted:
            raise ModuleNotFoundError(f"{name} is not wanted", name=name)
        if name not in self._names:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def postpone(names: Collection[str] = UNUSED, unwanted: Collection[str] = OPTIONAL) -> None:
    """From now on, load modules with the first use of something in them, and others not at all."""
    sys.meta_path.insert(0, _Finder(names, unwanted))
