"""Every version of every object that this run's watch has shown, as kstatus's own library sees it.

The file's name puts it last, so that there is much to look at.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support import kstatus
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration


def test_kstatus_agrees_with_the_conditions_at_every_moment(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)),
        custom_model("missing", hugging_face("tiny/nowhere")),
        model_deployment("serve", "chat"),
    )
    workspace.ready(MODEL, "chat")
    workspace.ready(DEPLOYMENT, "serve")
    workspace.shows(MODEL, "missing", "SourceNotFound")
    workspace.delete("custommodels,modeldeployments", "--all")
    for kind, name in ((DEPLOYMENT, "serve"), (MODEL, "chat"), (MODEL, "missing")):
        workspace.gone(kind, name)

    versions = workspace.surroundings.recorder.every_version()
    seen = kstatus.compute(versions)

    assert seen == [kstatus.expected(version) for version in versions]
    counts = Counter(seen)
    assert counts.keys() >= {"InProgress", "Current", "Failed", "Terminating"}
    print(f"kstatus agrees on {len(seen)} versions: {dict(counts)}")
