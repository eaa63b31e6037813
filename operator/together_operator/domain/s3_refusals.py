"""What an S3 store's refusals mean, for the operator and for its workers alike. Pure.

Codes are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what
other stores answer to a HEAD, which has no body: the status. One table, so that the operator and a
Job never judge the same answer differently.
"""

from __future__ import annotations

import re
from enum import Enum


class Refusal(Enum):
    """Why a store does not do what it is asked."""

    SLOW_DOWN = "it is asked too often"
    UNAVAILABLE = "it can't just now"
    DAMAGED = "what was sent was damaged on its way"
    NO_BUCKET = "there is no such bucket"
    ELSEWHERE = "the bucket is in another region"
    NOT_FOUND = "there is no such object"
    UNAUTHORIZED = "it does not know who asks"
    FORBIDDEN = "whoever asks may not do that"
    OTHER = "anything else"


_CODES: dict[Refusal, frozenset[str]] = {
    Refusal.SLOW_DOWN: frozenset(
        {
            "429",
            "BandwidthLimitExceeded",
            "RequestLimitExceeded",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
        }
    ),
    Refusal.UNAVAILABLE: frozenset(
        {
            "408",
            "InternalError",
            "RequestTimeout",
            "ServiceUnavailable",
        }
    ),
    Refusal.DAMAGED: frozenset({"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}),
    Refusal.NO_BUCKET: frozenset({"InvalidBucketName", "NoSuchBucket"}),
    Refusal.ELSEWHERE: frozenset(
        {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
        | {"PermanentRedirect"}
    ),
    Refusal.NOT_FOUND: frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"}),
    Refusal.UNAUTHORIZED: frozenset(
        {
            "401",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidIdentityToken",
            "InvalidToken",
            "TokenRefreshRequired",
            "Unauthorized",
            "UnauthorizedAccess",
        }
    ),
    Refusal.FORBIDDEN: frozenset(
        {
            "403",
            "AccessDenied",
            "AccountProblem",
            "AllAccessDisabled",
            "Forbidden",
            "InvalidObjectState",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
        }
    ),
}
_BY_CODE = {code: refusal for refusal, codes in _CODES.items() for code in codes}

_BY_STATUS = {
    401: Refusal.UNAUTHORIZED,
    403: Refusal.FORBIDDEN,
    408: Refusal.UNAVAILABLE,
    429: Refusal.SLOW_DOWN,
}


_SHOWABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def shown_code(code: str, otherwise: str) -> str:
    """An error's code where it looks like one: it comes from a remote body, which nobody shows."""
    return code if _SHOWABLE.fullmatch(code) else otherwise


def refusal_of(code: str, status: int) -> Refusal:
    """By the error's code, and where that says nothing, by the HTTP status (0: unknown)."""
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if known is not None:
        return known
    return Refusal.UNAVAILABLE if status >= 500 else Refusal.OTHER
