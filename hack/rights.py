"""`python -m hack.rights`: docs/rights.md gets what `kubectl auth can-i --list` tells.

On a throw-away cluster with the roles of deploy/clusterrole.yaml. A test compares the page with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.environment import install

if TYPE_CHECKING:
    from tests.support.cluster import ThrowawayCluster

PAGE = Path(__file__).parents[1] / "docs/rights.md"
_BLOCK = re.compile(r"(?<=```\n)Resources .*?(?=```)", re.DOTALL)
_EVERYONES = ("selfsubject", "clustertrustbundles")
"""Resources that Kubernetes lets everyone use."""


def listed(cluster: ThrowawayCluster) -> str:
    """The operator's own rights in a namespace of users, one resource a line."""
    told = cluster.kubectl("auth", "can-i", "--list", "--as=operator", "--namespace=kube-public")
    heading, *rows = told.splitlines()
    own = [row for row in rows if row[:1].isalpha() and not row.startswith(_EVERYONES)]
    return "".join(f"{row.rstrip()}\n" for row in [heading, *sorted(own)])


def block(page: str) -> str:
    """The part of the page that is generated."""
    found = _BLOCK.search(page)
    assert found is not None, "the page has the block that is written here"
    return found[0]


def main() -> None:
    """Write the page."""
    from tests.support.cluster import ThrowawayCluster

    with ThrowawayCluster.start("rights") as cluster:
        install(cluster)
        page = PAGE.read_text()
        PAGE.write_text(page.replace(block(page), listed(cluster)))


if __name__ == "__main__":
    main()
