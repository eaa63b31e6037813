"""Together's own words for people: short, one line, and without anything secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_LENGTH = 300
_HIDDEN = "[hidden]"
_URL_SECRETS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^\s/@]*@)?(?P<rest>[^\s?#]*)\S*")
_SHORTEST_SECRET = 8
_PATTERNS = (
    re.compile(r"(?i)\b(?:bearer|basic)\s+\S+"),
    re.compile(r"(?i)\bX-Amz-[A-Za-z-]+=\S+"),
    re.compile(r"(?i)\b(?:token|password|secret|signature|api[_-]?key|authorization)\s*[=:]\s*\S+"),
    re.compile(r"\b(?:hf_|tgp_|key_|sk-|ghp_|eyJ)[\w.+/=-]{8,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),
    # A digest, a signature or a key without a known prefix: long, with digits and letters.
    re.compile(r"(?<![\w-])(?=[A-Za-z+/=]*\d)(?=[\d+/=]*[A-Za-z])[A-Za-z0-9+/=]{32,}(?![\w-])"),
)


def scrub(text: object, secrets: Iterable[str] = ()) -> str:
    """One line of at most `MAX_LENGTH` characters in which nothing looks like a secret.

    Args:
        text: what a remote system said; anything that is not a string is dropped.
        secrets: strings that must not show in any case, e.g. the token that was sent.
    """
    if not text or not isinstance(text, str):
        return ""
    line = " ".join(text[: MAX_LENGTH * 20].split())
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            line = line.replace(secret, _HIDDEN)
    line = _URL_SECRETS.sub(r"\g<scheme>\g<rest>", line)
    for pattern in _PATTERNS:
        line = pattern.sub(_HIDDEN, line)
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"


def of_error(body: object, secrets: Iterable[str] = ()) -> str:
    """What an error answer says, from either of the API's two envelopes; empty when nothing."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error")
    if isinstance(inner, str):
        return scrub(inner, secrets)
    source: dict[str, Any] = inner if isinstance(inner, dict) else body
    message = source.get("message") or source.get("detail") or ""
    details = source.get("details")
    first = details[0] if isinstance(details, list) and details else None
    detail = first.get("detail") if isinstance(first, dict) else None
    both = f"{message} ({detail})" if detail and isinstance(detail, str) else message
    return scrub(both, secrets)


def code_of(body: object) -> str:
    """The error code in the gateway's and v1's envelope; empty when there is none."""
    inner = body.get("error") if isinstance(body, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else None
    return code if isinstance(code, str) else ""


def is_error(body: object) -> bool:
    """Whether a body is one of the API's own error envelopes (and not, say, a proxy's page)."""
    return isinstance(body, dict) and bool(body.keys() & {"error", "message", "code", "detail"})
