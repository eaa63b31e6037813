"""The one exception tree. Adapters translate into it once; everything above speaks only this.

A message is one line for people: it may carry the remote system's own short words, and never a
secret, a signed URL or a response body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from together_operator.domain.conditions import Reason


class OperatorError(Exception):
    """Base of every error that this operator raises on purpose."""


class RemoteError(OperatorError):
    """A remote system (Together, S3, Hugging Face, Kubernetes) did not do what was asked.

    Args:
        message: one line for people, scrubbed by the adapter.
        status: the HTTP status, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class NotFound(RemoteError):
    """The thing is not there (404)."""


class Conflict(RemoteError):
    """The thing's state forbids it: a taken name, a stale version, still in use (409)."""


class Rejected(RemoteError):
    """The request itself is wrong (400, 422): repeating it unchanged can't help."""


class Unauthorized(RemoteError):
    """The credential is missing, wrong or expired (401)."""


class Forbidden(RemoteError):
    """The credential is valid but may not do this (403)."""


class Unsupported(RemoteError):
    """This version of the remote's API can't do that, or no longer does it for this account."""


class RateLimited(RemoteError):
    """Asked too often (429).

    Args:
        retry_after: seconds to wait, where the remote said so.
    """

    def __init__(
        self, message: str, *, status: int | None = 429, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class Unavailable(RemoteError):
    """Nothing was changed: the connection could not be made, or a read failed (5xx, timeout)."""


class Ambiguous(RemoteError):
    """A write whose answer was lost or useless: it may have happened. Look before repeating it."""


class SecretUnavailable(OperatorError):
    """A referenced Secret, or a key in it, is missing or empty.

    Args:
        name: the Secret's name, in the namespace of the object that refers to it.
        key: the key in it that was wanted; None where the whole Secret was.
        problem: what is wrong, e.g. "does not exist".
    """

    def __init__(self, name: str, key: str | None, problem: str) -> None:
        place = f"Secret {name!r}" if key is None else f"Secret {name!r}, key {key!r}"
        super().__init__(f"{place}: {problem}")
        self.name = name
        self.key = key
        self.problem = problem


class InputError(OperatorError):
    """What the user gave can't work; the message says why and what to do.

    Args:
        reason: the condition reason that it shows as.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
