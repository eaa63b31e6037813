"""Fields of a ModelDeployment."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    TOO_BIG,
    TOO_SMALL,
    Case,
    Refusal,
    values,
)
from tests.integration.crds.manifests import (
    ABSENT,
    DEPLOYMENT,
    DEPLOYMENT_BY_CONFIG,
    changed,
)

_STEPS = Refusal("spec.rollout.canary.steps", "must increase and end at 100 percent")

DEPLOYMENTS = [
    *values(
        DEPLOYMENT,
        "spec.modelRef.name",
        accepted=("a", "model.v1-2"),
        refused={
            "acme/model": "not the model's name at Together",
            "ML_1": "must be the name of a CustomModel",
            "": "at least 1",
        },
    ),
    Case(
        "no model",
        changed(DEPLOYMENT, {"spec.modelRef": ABSENT}),
        Refusal("spec.modelRef", "give exactly one of modelRef"),
    ),
    Case(
        "a model at Together",
        changed(DEPLOYMENT, {"spec.modelRef": ABSENT, "spec.model": "acme/support"}),
    ),
    Case(
        "a CustomModel and a model at Together",
        changed(DEPLOYMENT, {"spec.model": "acme/support"}),
        Refusal("spec.modelRef", "give exactly one of modelRef"),
    ),
    *(
        Case(
            f"model={name}",
            changed(DEPLOYMENT, {"spec.modelRef": ABSENT, "spec.model": name}),
            refused,
        )
        for name, refused in (
            ("ml_CZaQ8Kx2", None),
            ("Qwen/Qwen3-8B", None),
            ("https://example.com/model", Refusal("spec.model", "write it without a version")),
        )
    ),
    *values(
        DEPLOYMENT,
        "spec.hardware.gpu",
        accepted=("nvidia-b200",),
        refused={"NVIDIA H100": "in lower case, such as nvidia-h100-80gb"},
    ),
    *values(
        DEPLOYMENT,
        "spec.hardware.count",
        accepted=(1, 8),
        refused={0: TOO_SMALL, 9: TOO_BIG},
    ),
    *values(
        DEPLOYMENT,
        "spec.optimization",
        accepted=("balanced", "latency"),
        refused={"Balanced": "in lower case: balanced, throughput or latency"},
    ),
    *values(
        DEPLOYMENT_BY_CONFIG,
        "spec.config",
        accepted=("cr_1",),
        refused={"1xnvidia-h100-80gb": "begins with cr_"},
    ),
    *values(
        DEPLOYMENT,
        "spec.replicas",
        accepted=(0, 1000),
        refused={-1: TOO_SMALL, 1001: TOO_BIG},
    ),
    *(
        Case(
            f"config beside {field}",
            changed(DEPLOYMENT_BY_CONFIG, {f"spec.{field}": value}),
            Refusal("spec.config", "remove them, or remove config"),
        )
        for field, value in (
            ("hardware", {"gpu": "nvidia-h100-80gb"}),
            ("optimization", "latency"),
        )
    ),
    *values(
        DEPLOYMENT,
        "spec.revisionPolicy",
        accepted=("Pinned",),
        refused={"Newest": ENUM},
    ),
    Case("revisionPolicy=Latest", changed(DEPLOYMENT_BY_CONFIG, {"spec.revisionPolicy": "Latest"})),
    *values(
        DEPLOYMENT, "spec.revision", accepted=("rv_1",), refused={"3": "which begins with rv_"}
    ),
    Case(
        "a revision that would not stay",
        changed(DEPLOYMENT_BY_CONFIG, {"spec.revision": "rv_1"}),
        Refusal("spec.revision", "set revisionPolicy to Pinned, or remove revision"),
    ),
    *values(
        DEPLOYMENT,
        "spec.placement.regions[0]",
        accepted=("eu-west-1",),
        refused={"eu west": "must be names of Together's regions"},
    ),
    *values(
        DEPLOYMENT,
        "spec.placement.constraint",
        accepted=("Required", "Preferred"),
        refused={"Maybe": ENUM},
    ),
    *(
        Case(f"placement {what}", changed(DEPLOYMENT_BY_CONFIG, {"spec.placement": placement}))
        for what, placement in (
            ("by profile", {"profile": "pp_1"}),
            ("for HIPAA anywhere", {"hipaa": True}),
        )
    ),
    Case(
        "placement by a profile that is none",
        changed(DEPLOYMENT_BY_CONFIG, {"spec.placement": {"profile": "a profile"}}),
        Refusal("spec.placement.profile", "must be the id of a placement profile"),
    ),
    Case(
        "placement without anything",
        changed(DEPLOYMENT_BY_CONFIG, {"spec.placement": {}}),
        Refusal("spec.placement", "needs either profile, or regions and hipaa"),
    ),
    Case(
        "placement constraint without regions",
        changed(
            DEPLOYMENT_BY_CONFIG, {"spec.placement": {"hipaa": True, "constraint": "Required"}}
        ),
        Refusal("spec.placement.constraint", "add regions, or remove it"),
    ),
    *(
        Case(
            f"rollout {strategy}",
            changed(DEPLOYMENT_BY_CONFIG, {"spec.rollout": {"strategy": strategy}}),
        )
        for strategy in ("BlueGreen", "Canary", "Rolling", "Recreate")
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.strategy",
        refused={"Shadow": ENUM},
    ),
    Case(
        "canary settings of another strategy",
        changed(DEPLOYMENT, {"spec.rollout.strategy": "Rolling"}),
        Refusal("spec.rollout.canary", "remove it, or choose that strategy"),
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.steps[0].traffic",
        accepted=(1, 99),
        refused={0: TOO_SMALL, 101: TOO_BIG},
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.steps[0].replicas",
        accepted=(1, 1000),
        refused={0: TOO_SMALL, 1001: TOO_BIG},
    ),
    *(
        Case(
            f"canary steps {percents}",
            changed(
                DEPLOYMENT,
                {"spec.rollout.canary.steps": [{"traffic": percent} for percent in percents]},
            ),
            refused,
        )
        for percents, refused in (
            ((100,), None),
            ((50, 20, 100), _STEPS),
            ((10, 10, 100), _STEPS),
            ((10, 50), _STEPS),
        )
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.intervalSeconds",
        accepted=(1, 86400),
        refused={0: TOO_SMALL, 86401: TOO_BIG},
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.gates[0].metric",
        accepted=("ErrorRate", "InflightRequests"),
        refused={"CPU": ENUM},
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.gates[0].max",
        accepted=("0.05", "0"),
        refused={
            "5%": "must be a decimal number in quotes",
            "5": "write 0.05 for five percent",
        },
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.gates[1].maxRegressionPercent",
        accepted=(0, 1000),
        refused={-1: TOO_SMALL, 1001: TOO_BIG},
    ),
    *values(
        DEPLOYMENT,
        "spec.rollout.canary.gates[1].percentile",
        accepted=(1, 99),
        refused={0: TOO_SMALL, 100: TOO_BIG},
    ),
    Case(
        "percentile of an error rate",
        changed(DEPLOYMENT, {"spec.rollout.canary.gates[0].percentile": 99}),
        Refusal("spec.rollout.canary.gates[0].percentile", "is of a Latency only"),
    ),
    Case(
        "gate with both limits",
        changed(DEPLOYMENT, {"spec.rollout.canary.gates[0].maxRegressionPercent": 5}),
        Refusal("spec.rollout.canary.gates[0]", "needs either max or maxRegressionPercent"),
    ),
]
