"""Where and how the archive Job's pod runs: the Kubernetes types, with their meaning unchanged."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from together_operator.api.schema import CEL
from together_operator.api.v1alpha1.common import ApiModel, Int32, Int64

Quantity = Annotated[
    str,
    BeforeValidator(str),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)"
            r"(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
            "maxLength": 64,
        }
    ),
]
"""A Kubernetes quantity such as `500m` or `2Gi`, always as a string."""

LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    CEL(
        "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
        "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', "
        "beginning and ending with a letter or digit",
    ),
]
Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    CEL(
        "self.matches('^[^\\\\s]+$')",
        "must be an image reference such as registry.example.com/team/worker:1.2 without spaces",
    ),
]
SelectedValue = Annotated[str, Field(max_length=63)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=317)]


def _not_ours(field: str) -> CEL:
    return CEL(
        "self.all(key, !key.startsWith('together.ai/'))",
        f"{field} must not have keys that begin with together.ai/, which the operator sets: "
        "remove them or use another prefix",
    )


class ResourceRequirements(ApiModel):
    """CPU, memory and other resources of the pod's only container."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the scheduler reserves, by resource name (cpu, memory, ...).",
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the container may use at most, by resource name (cpu, memory, ...).",
    )


class TaintEffect(StrEnum):
    """What a taint does to pods that don't tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class Toleration(ApiModel):
    """Lets the pod run on nodes with a matching taint."""

    key: str | None = Field(
        default=None, max_length=317, description="Key of the taint; empty matches every key."
    )
    operator: TolerationOperator | None = Field(
        default=None, description="Exists matches any value; Equal (the default) compares value."
    )
    value: LabelValue | None = Field(
        default=None, description="Value of the taint, for the operator Equal."
    )
    effect: TaintEffect | None = Field(
        default=None, description="Effect of the taint; empty matches every effect."
    )
    toleration_seconds: Int64 | None = Field(
        default=None,
        description="For the effect NoExecute: seconds the pod stays on a node that gets the "
        "taint; empty means for ever.",
    )


class NodeSelectorOperator(StrEnum):
    """How a node's label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class LabelSelectorOperator(StrEnum):
    """How a pod's or namespace's label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class NodeSelectorRequirement(ApiModel):
    """A comparison with a node's label or field."""

    key: MetadataKey = Field(description="The label or field to compare.")
    operator: NodeSelectorOperator = Field(description="How it is compared with the values.")
    values: tuple[SelectedValue, ...] = Field(
        default=(),
        max_length=64,
        description="For In and NotIn one or more values, for Gt and Lt one integer, else none.",
    )


class NodeSelectorTerm(ApiModel):
    """Requirements that a node must meet all together."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = Field(
        default=(), max_length=32, description="Requirements on the node's labels."
    )
    match_fields: tuple[NodeSelectorRequirement, ...] = Field(
        default=(), max_length=32, description="Requirements on the node's fields."
    )


class NodeSelector(ApiModel):
    """Alternatives, one of which must match the node."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = Field(
        min_length=1, max_length=32, description="Alternatives, one of which must match."
    )


class PreferredSchedulingTerm(ApiModel):
    """A preference for nodes."""

    weight: Int32 = Field(ge=1, le=100, description="How much the preference counts, 1 to 100.")
    preference: NodeSelectorTerm = Field(description="What the preferred nodes have.")


class NodeAffinity(ApiModel):
    """Which nodes the pod needs or prefers."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="What a node must have for the pod to be scheduled onto it."
    )
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = (
        Field(default=(), max_length=32, description="What preferred nodes have, with weights.")
    )


class LabelSelectorRequirement(ApiModel):
    """A comparison with a label."""

    key: MetadataKey = Field(description="The label to compare.")
    operator: LabelSelectorOperator = Field(description="How it is compared with the values.")
    values: tuple[LabelValue, ...] = Field(
        default=(), max_length=64, description="For In and NotIn one or more values, else none."
    )


class LabelSelector(ApiModel):
    """Selects pods or namespaces by their labels; all requirements must match."""

    match_labels: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels and the values they must have."
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        default=(), max_length=32, description="Further requirements on labels."
    )


class PodAffinityTerm(ApiModel):
    """Pods that the pod shall be near to or away from."""

    topology_key: MetadataKey = Field(
        description="Node label whose equal values mean the same place, such as "
        "kubernetes.io/hostname."
    )
    label_selector: LabelSelector | None = Field(default=None, description="Which pods are meant.")
    namespaces: tuple[SelectedValue, ...] = Field(
        default=(), max_length=32, description="Namespaces of those pods; empty: the Job's own."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces of those pods by label, besides the listed ones."
    )


class WeightedPodAffinityTerm(ApiModel):
    """A preference for places by the pods that are there."""

    weight: Int32 = Field(ge=1, le=100, description="How much the preference counts, 1 to 100.")
    pod_affinity_term: PodAffinityTerm = Field(description="The pods that are meant.")


class PodAffinity(ApiModel):
    """Pods to be near to (podAffinity) or away from (podAntiAffinity)."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = Field(
        default=(), max_length=16, description="Terms that must all hold for a node."
    )
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = (
        Field(default=(), max_length=16, description="Terms that count by their weights.")
    )


class Affinity(ApiModel):
    """Rules for which nodes the pod runs on."""

    node_affinity: NodeAffinity | None = Field(
        default=None, description="Which nodes the pod needs or prefers."
    )
    pod_affinity: PodAffinity | None = Field(
        default=None, description="Pods that this pod shall run near to."
    )
    pod_anti_affinity: PodAffinity | None = Field(
        default=None, description="Pods that this pod shall run away from."
    )


class JobSettings(ApiModel):
    """How the Job that writes the archive runs."""

    image: Image | None = Field(
        default=None,
        description="Image of the worker; default: the one that the operator is configured with.",
    )
    resources: ResourceRequirements | None = Field(
        default=None, description="CPU and memory of the worker; default: the operator's."
    )
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels, with values, that the node must have.",
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), max_length=32, description="Taints of nodes that the pod may run on."
    )
    affinity: Affinity | None = Field(
        default=None, description="Rules for which nodes the pod runs on."
    )
    service_account_name: ObjectName | None = Field(
        default=None,
        description="Service account of the pod, for clouds that tie an identity to it; default: "
        "the namespace's default account. Its Kubernetes token is not mounted.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None,
        description="PriorityClass of the pod.",
    )
    active_deadline_seconds: Int64 = Field(
        default=86400,
        ge=60,
        le=2592000,
        description="Seconds after which the Job is stopped and counts as failed.",
    )
    stall_seconds: Int32 = Field(
        default=900,
        ge=10,
        le=86400,
        description="Seconds without a byte after which a Job whose pod runs is taken for stuck "
        "and replaced by another one, which goes on where it was. It counts while the pod's log "
        "can be read and has a line of progress.",
    )
    ttl_seconds_after_finished: Int32 = Field(
        default=3600,
        ge=0,
        le=2592000,
        description="Seconds that a finished Job, with its logs, is kept; less than 300 is taken "
        "as 300, since the operator has to read what the Job packed before it is gone.",
    )
    labels: Annotated[dict[str, LabelValue], _not_ours("labels")] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels for the Job and its pod, besides the operator's own.",
    )
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]], _not_ours("annotations")
    ] = Field(
        default_factory=dict,
        max_length=32,
        description="Annotations for the Job and its pod.",
    )
