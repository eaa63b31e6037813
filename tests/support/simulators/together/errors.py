"""Errors of the API and the two envelopes they travel in."""

from typing import Any

# google.rpc.Code, which the management API puts beside the HTTP status.
_CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 10,
    412: 9,
    429: 8,
    500: 13,
    501: 12,
    503: 14,
    504: 4,
}
ALREADY_EXISTS = 6
FAILED_PRECONDITION = 9
ABORTED = 10


class ApiError(Exception):
    """An answer that is not a success.

    Args:
        status: HTTP status.
        message: the words the client sees.
        code: google.rpc code; by default the one that belongs to the status.
        detail: a second sentence, in `details`.
        headers: additional response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: int | None = None,
        detail: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = _CODES.get(status, 2) if code is None else code
        self.detail = detail
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The management API's envelope."""
        details = [{"detail": self.detail}] if self.detail else []
        return {"code": self.code, "message": self.message, "details": details}


class GatewayError(ApiError):
    """An error in the envelope of the gateway: authentication, limits and inference.

    Args:
        type_: the `type` in the envelope, such as `invalid_request_error`.
        symbol: the `code` in the envelope, such as `invalid_api_key`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        symbol: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers=headers)
        self.type = type_
        self.symbol = symbol

    def body(self) -> dict[str, Any]:
        """The gateway's envelope."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": None,
                "code": self.symbol,
            }
        }


def invalid(message: str, detail: str = "") -> ApiError:
    """400: the request is wrong."""
    return ApiError(400, message, detail=detail)


def precondition(message: str, detail: str = "") -> ApiError:
    """400: the request is fine, the state of the resource is not."""
    return ApiError(400, message, code=FAILED_PRECONDITION, detail=detail)


def not_found(kind: str, name: str) -> ApiError:
    """404."""
    return ApiError(404, f"{kind} {name} not found")


def already_exists(kind: str, name: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, f"{kind} with name {name!r} already exists", code=ALREADY_EXISTS)


def in_use(message: str, detail: str = "") -> ApiError:
    """409: something else still needs the resource."""
    return ApiError(409, message, code=FAILED_PRECONDITION, detail=detail)


def stale_etag() -> ApiError:
    """409: somebody else changed the resource since it was read."""
    return ApiError(409, "etag does not match the current version", code=ABORTED)
