"""Settings that the API takes and that can't do anything for this model."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import ScalingMetricName
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.actions import DeploymentPlan
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.scaling import wanted_scaling
from together_operator.domain.deployment.status import SCHEDULE, failed, stalled

_OF_GENERATED_TEXT = (ScalingMetricName.TTFT, ScalingMetricName.DECODING_SPEED)
"""Times of tokens that are generated one after another, which an embedding has none of."""


def unfit_metrics(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an embedding model that shall be scaled by what only a text model has."""
    autoscaling = o.md.spec.autoscaling
    if autoscaling is None or not o.is_embedding or wanted_scaling(o.md, now).high == 0:
        return None
    unfit = [m.name.value for m in autoscaling.metrics if m.name in _OF_GENERATED_TEXT]
    if not unfit:
        return None
    message = (
        f"The model makes embeddings, which generate no tokens: {' and '.join(unfit)} in "
        "spec.autoscaling.metrics would never be measured. Use inflight_requests, e2e_latency, "
        "throughput_per_replica or gpu_utilization. Until then nothing is changed, and what runs "
        "is billed."
    )
    return failed(o, now, stalled(SCHEDULE, Reason.METRIC_UNFIT, message))
