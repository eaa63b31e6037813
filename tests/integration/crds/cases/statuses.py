"""The statuses, which only the operator writes."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    PATTERN,
    TOO_BIG,
    TOO_SMALL,
    statuses,
)
from tests.integration.crds.manifests import (
    CUSTOM_MODEL_STATUS,
    DEPLOYMENT,
    DEPLOYMENT_STATUS,
    FROM_PREFIX,
)

_PHASES = ("Pending", "Ready", "Suspended", "Failed", "Deleting")
_COUNTS = (
    "source.files",
    "source.sizeBytes",
    "archive.sizeBytes",
    "archive.files",
    "progress.doneBytes",
    "progress.totalBytes",
    "progress.bytesPerSecond",
    "progress.etaSeconds",
    "job.failures",
)

STATUSES = [
    *(
        case
        for manifest, status in (
            (FROM_PREFIX, CUSTOM_MODEL_STATUS),
            (DEPLOYMENT, DEPLOYMENT_STATUS),
        )
        for case in (
            *statuses(
                manifest,
                status,
                "conditions[0].status",
                accepted=("True", "False", "Unknown"),
                refused={"true": ENUM},
            ),
            *statuses(
                manifest,
                status,
                "conditions[0].reason",
                accepted=("SecretMissing",),
                refused={"not a word": PATTERN},
            ),
            *statuses(
                manifest, status, "conditions[0].observedGeneration", refused={-1: TOO_SMALL}
            ),
            *statuses(manifest, status, "intent.attempt", refused={0: TOO_SMALL}),
            *statuses(manifest, status, "retry.failures", refused={-1: TOO_SMALL}),
        )
    ),
    *statuses(
        FROM_PREFIX,
        CUSTOM_MODEL_STATUS,
        "phase",
        accepted=(*_PHASES, "Archiving", "Registering", "Importing"),
        refused={"Done": ENUM},
    ),
    *statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "phase",
        accepted=(*_PHASES, "Provisioning", "Scaling", "RollingOut", "Stopped", "Degraded"),
        refused={"Done": ENUM},
    ),
    *(
        case
        for path in _COUNTS
        for case in statuses(
            FROM_PREFIX, CUSTOM_MODEL_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
    *statuses(
        FROM_PREFIX,
        CUSTOM_MODEL_STATUS,
        "progress.percent",
        accepted=(0, 100),
        refused={-1: TOO_SMALL, 101: TOO_BIG},
    ),
    *(
        case
        for path in ("job.attempt", "import.attempt")
        for case in statuses(FROM_PREFIX, CUSTOM_MODEL_STATUS, path, refused={0: TOO_SMALL})
    ),
    *(
        case
        for path in ("replicas", "readyReplicas")
        for case in statuses(
            DEPLOYMENT, DEPLOYMENT_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
    *statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "rollout.phase",
        accepted=(
            *("Preparing", "Replacing", "Running", "Paused"),
            *("Canceling", "Returning", "Failed"),
        ),
        refused={"Done": ENUM},
    ),
    *statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "rollout.strategy",
        accepted=("BlueGreen", "Canary", "Rolling", "Recreate"),
        refused={"Shadow": ENUM},
    ),
    *(
        case
        for path in ("rollout.step", "rollout.steps")
        for case in statuses(
            DEPLOYMENT, DEPLOYMENT_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
    *statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "rollout.trafficPercent",
        accepted=(0, 100),
        refused={-1: TOO_SMALL, 101: TOO_BIG},
    ),
]
