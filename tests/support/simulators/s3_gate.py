"""A WSGI gate in front of moto that authenticates requests as S3 does.

Rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from tests.support.simulators.together.faults import Fault, Faults

_WEEK = 7 * 24 * 3600
_SKEW = 15 * 60
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<credential>[^,\s]+),\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]+)"
)

Environ = dict[str, Any]


class DeniedError(Exception):
    """An S3 error answer."""

    def __init__(self, status: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class _Signature:
    """What a request claims about itself."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: list[str]
    signature: str
    timestamp: str
    payload: str
    query: list[tuple[str, str]]
    expires: int | None = None


class Gate:
    """The gate.

    Args:
        app: the WSGI application behind it.
        secrets: secret access keys by access key id.
    """

    def __init__(self, app: Any, secrets: dict[str, str]) -> None:
        self.secrets = dict(secrets)
        self.regions: dict[str, str] = {}
        """Region by bucket; a bucket that is not there may be signed for any region."""

        self.clock_offset = 0.0
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self._app = app

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """WSGI."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith("/moto-api"):
            return self._behind(environ, start_response)
        self.calls[f"{method} {path}"] += 1
        try:
            fault = self.faults.match(method, path)
            if fault is not None:
                self._apply(fault)
            self._authenticate(environ)
        except DeniedError as error:
            return _answer(start_response, error)
        return self._behind(environ, start_response)

    def reset(self, secrets: dict[str, str], port: int) -> None:
        """Forget everything, moto's buckets included."""
        self.secrets = dict(secrets)
        self.regions.clear()
        self.clock_offset = 0.0
        self.faults.rules.clear()
        self.calls.clear()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/moto-api/reset",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(port),
            "HTTP_HOST": f"127.0.0.1:{port}",
            "wsgi.url_scheme": "http",
        }
        list(self._behind(environ, lambda *_: None))

    def _behind(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _apply(self, fault: Fault) -> None:
        time.sleep(fault.seconds)
        if fault.effect == "status":
            code = "SlowDown" if fault.status == 503 else "InternalError"
            raise DeniedError(f"{fault.status} Injected", code, fault.message)

    def _authenticate(self, environ: Environ) -> None:
        claim = _claim(environ)
        secret = self.secrets.get(claim.access_key_id)
        if secret is None:
            raise DeniedError(
                "403 Forbidden",
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
        self._check_time(claim)
        self._check_region(claim, environ)
        if claim.service == "s3" and not hmac.compare_digest(
            _sign(claim, environ, secret), claim.signature
        ):
            raise DeniedError(
                "403 Forbidden",
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )

    def _check_time(self, claim: _Signature) -> None:
        signed = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        age = time.time() + self.clock_offset - signed.timestamp()
        if claim.expires is None:
            if abs(age - self.clock_offset) > _SKEW:
                raise DeniedError(
                    "403 Forbidden",
                    "RequestTimeTooSkewed",
                    "The difference between the request time and the current time is too large.",
                )
        elif not 1 <= claim.expires <= _WEEK:
            raise DeniedError(
                "400 Bad Request",
                "AuthorizationQueryParametersError",
                "X-Amz-Expires must be less than a week (in seconds)",
            )
        elif age > claim.expires:
            raise DeniedError("403 Forbidden", "AccessDenied", "Request has expired")

    def _check_region(self, claim: _Signature, environ: Environ) -> None:
        bucket = environ["PATH_INFO"].lstrip("/").partition("/")[0]
        wanted = self.regions.get(bucket, claim.region)
        if claim.region != wanted:
            raise DeniedError(
                "400 Bad Request",
                "AuthorizationHeaderMalformed",
                f"The region '{claim.region}' is wrong; expecting '{wanted}'",
            )


def _claim(environ: Environ) -> _Signature:
    """Read the signature of a request, from its query or its header."""
    raw_query = environ.get("QUERY_STRING", "")
    query = parse_qsl(raw_query, keep_blank_values=True)
    values = dict(query)
    if "X-Amz-Signature" in values:
        return _from_query(query, values)
    if "Signature" in values and "AWSAccessKeyId" in values:
        raise DeniedError(
            "400 Bad Request",
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. "
            "Please use AWS4-HMAC-SHA256.",
        )
    match = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        raise DeniedError("403 Forbidden", "AccessDenied", "Access Denied")
    key, date, region, service = match["credential"].split("/")[:4]
    return _Signature(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        signed_headers=match["headers"].split(";"),
        signature=match["signature"],
        timestamp=environ.get("HTTP_X_AMZ_DATE", ""),
        payload=environ.get("HTTP_X_AMZ_CONTENT_SHA256", "UNSIGNED-PAYLOAD"),
        query=query,
    )


def _from_query(query: list[tuple[str, str]], values: dict[str, str]) -> _Signature:
    try:
        key, date, region, service = values["X-Amz-Credential"].split("/")[:4]
        return _Signature(
            access_key_id=key,
            date=date,
            region=region,
            service=service,
            signed_headers=values["X-Amz-SignedHeaders"].split(";"),
            signature=values["X-Amz-Signature"],
            timestamp=values["X-Amz-Date"],
            payload="UNSIGNED-PAYLOAD",
            query=[(name, value) for name, value in query if name != "X-Amz-Signature"],
            expires=int(values["X-Amz-Expires"]),
        )
    except (KeyError, ValueError) as error:
        raise DeniedError(
            "400 Bad Request",
            "AuthorizationQueryParametersError",
            "Query-string authentication version 4 requires the X-Amz-Algorithm, "
            "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
            "X-Amz-Expires parameters.",
        ) from error


def _sign(claim: _Signature, environ: Environ, secret: str) -> str:
    """The signature that the request should have."""
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    canonical = "\n".join(
        [
            environ["REQUEST_METHOD"],
            _canonical_path(environ),
            "&".join(sorted(f"{_encode(name)}={_encode(value)}" for name, value in claim.query)),
            *(f"{name}:{_header(environ, name)}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            claim.payload,
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{claim.timestamp}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _canonical_path(environ: Environ) -> str:
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    return quote(unquote(str(raw).partition("?")[0]), safe="/-_.~")


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _header(environ: Environ, name: str) -> str:
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    return re.sub(r"\s+", " ", str(environ.get(key, ""))).strip()


def _answer(start_response: Any, error: DeniedError) -> Iterable[bytes]:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{escape(str(error))}</Message>"
        "<RequestId>SIMULATOR</RequestId><HostId>simulator</HostId></Error>"
    ).encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start_response(error.status, headers)
    return [body]
