"""Placement, scaling and idling of a deployment at Together, as a spec says them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.domain.deployment.scaling import has_bounds, is_tuned, wanted_scaling
from together_operator.domain.deployment.target import placement_of
from together_operator.domain.together import Deployment, Placement, Tuning

Spec = dict[str, Any]
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Without schedule and ttl, what is wanted does not depend on it."""

_TIMEOUTS = range(30, 1441)
"""Minutes that the schema takes."""


def settings_of(deployment: Deployment) -> tuple[Spec, list[str]]:
    """The part of a spec that is about placement, scaling and idling, and what to say above it."""
    tuning = deployment.tuning
    spec: Spec = {}
    comments = []
    if deployment.placement is not None:
        spec["placement"] = _placement(deployment.placement)
    low, high = deployment.min_replicas, deployment.max_replicas
    if high > low or tuning.scale_to_zero_window:
        spec["autoscaling"] = _autoscaling(max(high, 1), tuning)
        if high == 0:
            comments.append(
                "It is stopped, and Together does not say how far it scaled: set maxReplicas "
                "before you set replicas."
            )
    if tuning.inactive_timeout:
        spec["inactiveTimeout"] = tuning.inactive_timeout
    return spec, comments


def _placement(placement: Placement) -> Spec:
    if placement.profile is not None:
        return {"profile": placement.profile}
    strictness = {} if placement.required else {"constraint": "Preferred"}
    return {
        **({"regions": list(placement.regions), **strictness} if placement.regions else {}),
        **({"hipaa": True} if placement.hipaa else {}),
    }


def _autoscaling(most: int, tuning: Tuning) -> Spec:
    metrics = [
        {
            "name": metric.name,
            "target": int(metric.target) if metric.target.is_integer() else metric.target,
            **({"percentile": metric.percentile} if metric.percentile else {}),
        }
        for metric in tuning.metrics or ()
    ]
    windows = {
        "scaleUpWindow": tuning.scale_up_window,
        "scaleDownWindow": tuning.scale_down_window,
        "scaleToZeroWindow": tuning.scale_to_zero_window,
    }
    return {
        "maxReplicas": most,
        **({"metrics": metrics} if metrics else {}),
        **{name: f"{seconds}s" for name, seconds in windows.items() if seconds is not None},
    }


def unsaid(spec: Spec, deployment: Deployment) -> str | None:
    """Why applying `spec` would change the deployment, or buy another one; None: it would not."""
    fields = ("placement", "autoscaling", "inactiveTimeout", "replicas")
    body = {"metadata": {"name": "x", "namespace": "x"}, "spec": spec}
    try:
        md = ModelDeployment.model_validate(body)
    except ValidationError as error:
        places = (str(found["loc"][1]) for found in error.errors() if len(found["loc"]) > 1)
        wrong = sorted({place for place in places if place in fields}) or ["its settings"]
        return f"spec.{' and spec.'.join(wrong)} can't say what it has at Together"
    if spec.get("placement") == {} or placement_of(md.spec) != deployment.placement:
        return "spec.placement can't say where it may run at Together"
    timeout = deployment.tuning.inactive_timeout
    if timeout and timeout not in _TIMEOUTS:
        return f"spec.inactiveTimeout can't be {timeout} minutes"
    wanted = wanted_scaling(md, _ANY_TIME)
    if not has_bounds(deployment, wanted) or not is_tuned(deployment.tuning, wanted.tuning):
        return "spec.autoscaling can't say how it scales at Together"
    return None
