"""From an error to a situation: which reason, whether a person is needed, and what to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from together_operator.domain import errors
from together_operator.domain.backoff import Backoff
from together_operator.domain.conditions import Health, Reason, Situation


class StageError(errors.OperatorError):
    """An error together with the stage on whose behalf something was asked."""

    def __init__(self, stage: str, error: errors.OperatorError) -> None:
        super().__init__(str(error))
        self.stage = stage
        self.error = error


@contextmanager
def during(stage: str) -> Iterator[None]:
    """Errors inside carry `stage`, unless an inner one set it already."""
    try:
        yield
    except StageError:
        raise
    except errors.OperatorError as error:
        raise StageError(stage, error) from error


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one class of error shows."""

    reason: Reason
    at_source: Reason
    stalled: bool
    remedy: str = ""
    source_remedy: str = ""


MOVE_TO_V2 = "The v2 API can: start the operator with TOGETHER_OPERATOR_API_VERSION=v2."

_RULES: dict[type[errors.OperatorError], _Rule] = {
    errors.SecretUnavailable: _Rule(
        Reason.SECRET_MISSING,
        Reason.SECRET_MISSING,
        True,
        "Create the Secret with what is missing, in this namespace; it is picked up by itself.",
        "Create the Secret with what is missing, in this namespace; it is picked up by itself.",
    ),
    errors.Unauthorized: _Rule(
        Reason.UNAUTHORIZED,
        Reason.SOURCE_UNAUTHORIZED,
        True,
        "Check the Together API key (spec.apiKeySecretRef, or the operator's own).",
        "Check the token or credentials that the source refers to.",
    ),
    errors.Forbidden: _Rule(
        Reason.FORBIDDEN,
        Reason.SOURCE_UNAUTHORIZED,
        True,
        "Give the API key the right to do this, or use another key.",
        "Give the token or credentials of the source the right to read it.",
    ),
    errors.NotFound: _Rule(
        Reason.CONFLICT,
        Reason.SOURCE_NOT_FOUND,
        True,
        "",
        "Check the name, the region and the endpoint of the source; a private source also "
        "needs credentials.",
    ),
    errors.Rejected: _Rule(
        Reason.REJECTED, Reason.SOURCE_INVALID, True, "Change what the message names.", ""
    ),
    errors.Unsupported: _Rule(
        Reason.UNSUPPORTED_BY_API, Reason.UNSUPPORTED_BY_API, True, MOVE_TO_V2, MOVE_TO_V2
    ),
    errors.Conflict: _Rule(Reason.CONFLICT, Reason.CONFLICT, False),
    errors.RateLimited: _Rule(Reason.RATE_LIMITED, Reason.RATE_LIMITED, False),
    errors.Ambiguous: _Rule(
        Reason.ANSWER_LOST,
        Reason.ANSWER_LOST,
        False,
        "The request may have taken effect: it is looked for before anything is repeated.",
    ),
    errors.Unavailable: _Rule(Reason.UNAVAILABLE, Reason.UNAVAILABLE, False),
}

_CLUSTER_REMEDIES: dict[type[errors.OperatorError], str] = {
    errors.Unauthorized: "The operator's own access to Kubernetes has to be mended.",
    errors.Forbidden: "Let the operator's service account do this (RBAC), or mend the quota or "
    "policy that the message names.",
}

SOURCE_STAGE = "SourceReady"
STORE_STAGE = "Archives"
"""The stage that is asked of the store in which archives are; no condition is called so."""

_STORE_REMEDY = (
    "The credentials of archive.destination need s3:ListBucket, s3:ListBucketMultipartUploads, "
    "s3:DeleteObject and s3:AbortMultipartUpload there; or set archive.retention to Retain."
)
STORE_REMEDIES: dict[type[errors.OperatorError], str] = {
    errors.Unauthorized: _STORE_REMEDY,
    errors.Forbidden: _STORE_REMEDY,
}

CLUSTER_STAGE = "Archived"
"""The stage of a CustomModel that is asked of Kubernetes, and not of Together or a store."""

OBJECT_STAGE = "Objects"
"""What is asked of Kubernetes about the object itself; no condition is called so."""

CLUSTER_STAGES = frozenset({CLUSTER_STAGE, "Published", OBJECT_STAGE})


def situation_of(failure: StageError) -> Situation:
    """The situation that an error puts an object into."""
    error = failure.error
    if isinstance(error, errors.InputError):
        return Situation(Health.STALLED, error.reason, str(error), failure.stage)
    rule = next((rule for kind, rule in _RULES.items() if isinstance(error, kind)), None)
    if rule is None:
        return Situation(Health.PROGRESSING, Reason.UNAVAILABLE, str(error), failure.stage)
    at_source = failure.stage == SOURCE_STAGE
    reason = rule.at_source if at_source else rule.reason
    remedy = rule.source_remedy if at_source else rule.remedy
    if failure.stage in CLUSTER_STAGES:
        remedy = _CLUSTER_REMEDIES.get(type(error), remedy)
    if failure.stage == STORE_STAGE:
        remedy = STORE_REMEDIES.get(type(error), remedy)
    message = f"{str(error).rstrip('.')}. {remedy}".rstrip()
    health = Health.STALLED if rule.stalled else Health.PROGRESSING
    return Situation(health, reason, message, failure.stage)


def retry_delay(failure: StageError, failures: int, backoff: Backoff, jitter: float) -> float:
    """Seconds until the next try.

    A missing Secret is looked for more often, since it may only be read, never watched; a rate
    limit is honoured where the remote gave one.
    """
    error = failure.error
    delay = backoff.delay(failures, jitter)
    if isinstance(error, errors.SecretUnavailable):
        return min(delay, max(backoff.cap / 20, backoff.base))
    if isinstance(error, errors.RateLimited) and error.retry_after is not None:
        return max(delay, error.retry_after)
    return delay
