"""Checks AWS Signature Version 4, in headers and in presigned URLs."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote


class SignatureError(Exception):
    """The code that S3 would answer with, as the only argument."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # as sent, still quoted
    query: str
    headers: Mapping[str, str]  # names in lower case


def check(
    request: Request,
    secrets: Mapping[str, str],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Raises `SignatureError` unless `request` is signed by a key of `secrets` and not expired."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    if "X-Amz-Signature" in query:
        credential, signed = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
        stamp, given = query["X-Amz-Date"], query.pop("X-Amz-Signature")
        payload = "UNSIGNED-PAYLOAD"
        begun = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if now() > begun + timedelta(seconds=int(query["X-Amz-Expires"])):
            raise SignatureError("AccessDenied")
    else:
        header = request.headers.get("authorization", "")
        if not header.startswith("AWS4-HMAC-SHA256 "):
            raise SignatureError("AccessDenied")
        fields = dict(field.strip().split("=", 1) for field in header.partition(" ")[2].split(","))
        credential, signed = fields["Credential"], fields["SignedHeaders"]
        stamp, given = request.headers["x-amz-date"], fields["Signature"]
        payload = request.headers["x-amz-content-sha256"]
        if abs(now() - datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)) > timedelta(
            minutes=15
        ):
            raise SignatureError("RequestTimeTooSkewed")
    key_id, day, region, service, _ = credential.split("/")
    if key_id not in secrets:
        raise SignatureError("InvalidAccessKeyId")
    names = signed.split(";")
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "&".join(
                sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query.items())
            ),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            signed,
            payload,
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = ("AWS4" + secrets[key_id]).encode()
    for item in (day, region, service, "aws4_request"):
        key = hmac.digest(key, item.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), given):
        raise SignatureError("SignatureDoesNotMatch")
