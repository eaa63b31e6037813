"""Where a model's weights come from: what was found there, and when two sources are the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from together_operator.api.v1alpha1 import CustomModelSpec
from together_operator.api.v1alpha1.source import ARCHIVE_SUFFIX
from together_operator.domain.addresses import AddressPolicy, refused
from together_operator.domain.conditions import Reason
from together_operator.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a look at the source found.

    Args:
        revision: identity of the content: a commit, an ETag, or a digest of a listing; empty for
            a volume, which only the Job can look into.
        files: number of files, where it could be told.
        size_bytes: bytes in all, where it could be told.
        base_model: what the source itself names as its base model, if it does.
    """

    revision: str
    files: int | None = None
    size_bytes: int | None = None
    base_model: str | None = None


def needs_archive(spec: CustomModelSpec) -> bool:
    """True for a source that Together can't fetch as it is."""
    return spec.source.is_packed


def is_archive_uri(uri: str) -> bool:
    """Whether a `source.s3.uri` names one archive object, and not a prefix."""
    return re.search(ARCHIVE_SUFFIX, uri) is not None


_COMMIT = re.compile(r"[0-9a-f]{40}")


def may_change(spec: CustomModelSpec) -> bool:
    """True for a source whose content can become another one, and be seen to.

    A commit never changes, a volume can't be looked into, and a URL that is signed anew leads to
    the same archive.
    """
    hub = spec.source.hugging_face
    if hub is not None:
        return _COMMIT.fullmatch(hub.revision or "") is None
    return spec.source.s3 is not None


def source_digest(spec: CustomModelSpec) -> str:
    """Identity of the source as the spec names it; another one means another import.

    Credentials are left out: a rotated token is the same source.
    """
    source = spec.source
    if source.hugging_face is not None:
        # How the files get to Together makes no difference to what they are.
        parts = ["huggingFace", source.hugging_face.repo]
        parts += [source.hugging_face.revision] if source.hugging_face.revision else []
    elif source.persistent_volume_claim is not None:
        claim = source.persistent_volume_claim
        parts = ["persistentVolumeClaim", claim.claim_name, claim.path.rstrip("/")]
    elif source.s3 is not None:
        parts = ["s3", source.s3.uri, source.s3.endpoint_url or ""]
    else:
        assert source.presigned_url is not None  # the CRD's rule: exactly one source
        reference = source.presigned_url.secret_key_ref
        parts = ["presignedURL", reference.name, reference.key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def source_text(spec: CustomModelSpec) -> str:
    """The source in one short string for people."""
    source = spec.source
    if source.hugging_face is not None:
        revision = source.hugging_face.revision
        return f"hf://{source.hugging_face.repo}" + (f"@{revision}" if revision else "")
    if source.persistent_volume_claim is not None:
        claim = source.persistent_volume_claim
        return f"pvc/{claim.claim_name}" + (f"/{claim.path.rstrip('/')}" if claim.path else "")
    if source.s3 is not None:
        return source.s3.uri
    assert source.presigned_url is not None
    return f"secret/{source.presigned_url.secret_key_ref.name}"


MAX_PROBLEMS = 10


def problems(found: Sequence[str]) -> str:
    """What is wrong with a source, in one line; of many, the first ten."""
    more = len(found) - MAX_PROBLEMS
    count = f"{len(found)} problems: " if len(found) > 1 else ""
    rest = [f"and {more} more"] if more > 0 else []
    return count + " | ".join([*found[:MAX_PROBLEMS], *rest])


def check_addresses(spec: CustomModelSpec, policy: AddressPolicy) -> None:
    """Refuse endpoints that lead where they may not, as far as it can be told without a look-up.

    What a name leads to is checked by whoever connects to it.

    Raises:
        InputError: one does; the message names its field.
    """
    places = {
        "spec.source.s3.endpointURL": spec.source.s3,
        "spec.archive.destination.endpointURL": spec.archive.destination if spec.archive else None,
    }
    for field, place in places.items():
        kind = policy.refusal_of_url(place.endpoint_url or "") if place is not None else ""
        if kind:
            raise InputError(Reason.ADDRESS_REFUSED, refused(field, kind))


def check_presigned(url: SecretStr, policy: AddressPolicy) -> None:
    """The same for a URL that the user signed; the message holds no part of it."""
    kind = policy.refusal_of_url(url.get_secret_value())
    if kind:
        raise InputError(Reason.ADDRESS_REFUSED, refused("The presigned URL", kind))


IMPORT_SECONDS = 100 * 60
"""Together asks that a URL be valid for this long from the start of an import."""


def presigned_facts(url: SecretStr, now: datetime) -> SourceFacts:
    """Identity of a URL that the user signed, which must be valid for long enough still.

    The expiry is read from the parameters that S3 (SigV4, SigV2), Google and Azure use; a URL
    that names none is taken as it is.

    Raises:
        InputError: it is not an http(s) URL, or it expires too early. The message holds no part
            of the URL.
    """
    text = url.get_secret_value()
    query = _query(text)
    if query is None:
        raise InputError(
            Reason.SOURCE_INVALID,
            "The Secret's value is not a URL: put the whole presigned URL there, from https:// on.",
        )
    expiry = _expiry(query)
    if expiry is not None and expiry < now + timedelta(seconds=IMPORT_SECONDS):
        raise InputError(
            Reason.URL_EXPIRED,
            f"The presigned URL expires at {expiry:%Y-%m-%d %H:%M:%S} UTC, and Together needs it "
            "for 100 minutes: sign a new one and store it in the Secret.",
        )
    return SourceFacts(revision=hashlib.sha256(text.encode()).hexdigest()[:16])


def _query(url: str) -> dict[str, str] | None:
    """The parameters of an http(s) URL; None if it isn't one."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        return dict(parse_qsl(parts.query)) if whole else None
    except ValueError:
        return None


def _expiry(query: dict[str, str]) -> datetime | None:
    """When a URL ends; None if it doesn't say so, or says it in a way that is none."""
    try:
        for prefix in ("X-Amz-", "X-Goog-"):
            if f"{prefix}Date" in query and f"{prefix}Expires" in query:
                date, seconds = query[f"{prefix}Date"], int(query[f"{prefix}Expires"])
                signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return signed + timedelta(seconds=seconds)
        if "Expires" in query:
            return datetime.fromtimestamp(int(query["Expires"]), UTC)
        if "se" in query and "sig" in query:
            return _utc(datetime.fromisoformat(query["se"]))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
