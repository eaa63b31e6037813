"""What can be changed later, and what can't."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    Case,
    Refusal,
)
from tests.integration.crds.manifests import (
    ABSENT,
    CUSTOM_MODEL_STATUS,
    DEPLOYMENT,
    DEPLOYMENT_STATUS,
    FROM_ARCHIVE,
    FROM_PREFIX,
    Manifest,
    changed,
)


def _immutable(
    manifest: Manifest, path: str, other: object, message: str, *, optional: bool = True
) -> list[Case]:
    """Changing, and for optional fields removing and adding, is refused; keeping is accepted."""
    kept = changed(manifest, {"spec.suspend": False})
    updates = {"changed": (manifest, changed(manifest, {path: other}))}
    if optional:
        without = changed(manifest, {path: ABSENT})
        updates |= {"removed": (manifest, without), "added later": (without, manifest)}
    return [
        Case(f"{path} kept", kept, before=manifest),
        *(
            Case(f"{path} {what}", after, Refusal(path, message), before=before)
            for what, (before, after) in updates.items()
        ),
    ]


UPDATES = [
    *_immutable(FROM_PREFIX, "spec.modelName", "other", "modelName cannot be changed"),
    *_immutable(
        FROM_PREFIX, "spec.type", "Adapter", "create a new CustomModel for weights", optional=False
    ),
    *_immutable(DEPLOYMENT, "spec.endpointName", "other", "endpointName cannot be changed"),
    Case(
        "baseModel changed before the model exists",
        changed(FROM_PREFIX, {"spec.baseModel": "Qwen/Qwen2.5-7B"}),
        before=FROM_PREFIX,
        status=changed(CUSTOM_MODEL_STATUS, {"model": ABSENT}),
    ),
    *(
        Case(
            f"baseModel {what} once the model exists",
            changed(FROM_PREFIX, {"spec.baseModel": value}),
            Refusal("spec.baseModel", "cannot be changed once the model exists at Together"),
            before=FROM_PREFIX,
            status=CUSTOM_MODEL_STATUS,
        )
        for what, value in (("changed", "Qwen/Qwen2.5-7B"), ("removed", ABSENT))
    ),
    Case(
        "everything mutable of a CustomModel changed once the model exists",
        changed(
            FROM_PREFIX,
            {
                "spec.source": FROM_ARCHIVE["spec"]["source"],
                "spec.archive": ABSENT,
                "spec.job": ABSENT,
                "spec.apiKeySecretRef": ABSENT,
                "spec.description": "",
                "spec.visibility": "Private",
                "spec.deletionPolicy": "Delete",
                "spec.adoptionPolicy": "Never",
                "spec.suspend": False,
            },
        ),
        before=FROM_PREFIX,
        status=CUSTOM_MODEL_STATUS,
    ),
    Case(
        "everything mutable of a ModelDeployment changed",
        changed(
            DEPLOYMENT,
            {
                "spec.modelRef": {"name": "other"},
                "spec.hardware": {"gpu": "nvidia-b200"},
                "spec.optimization": "latency",
                "spec.placement": ABSENT,
                "spec.rollout": {"strategy": "Recreate"},
                "spec.revisionPolicy": "Latest",
                "spec.revision": ABSENT,
                "spec.replicas": 0,
                "spec.apiKeySecretRef": ABSENT,
                "spec.deletionPolicy": "Delete",
                "spec.adoptionPolicy": "Never",
                "spec.suspend": False,
            },
        ),
        before=DEPLOYMENT,
        status=DEPLOYMENT_STATUS,
    ),
]
