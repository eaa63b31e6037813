"""Where a model's weights come from: what was found there, and when two sources are the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from together_operator.api.v1alpha1 import CustomModelSpec

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz")


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a look at the source found.

    Args:
        revision: identity of the content: a commit, an ETag, or a digest of a listing.
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
    return spec.source.s3 is not None and not spec.source.s3.uri.endswith(ARCHIVE_SUFFIXES)


def source_digest(spec: CustomModelSpec) -> str:
    """Identity of the source as the spec names it; another one means another import.

    Credentials are left out: a rotated token is the same source.
    """
    source = spec.source
    if source.hugging_face is not None:
        parts = ["huggingFace", source.hugging_face.repo]
    elif source.s3 is not None:
        parts = ["s3", source.s3.uri, source.s3.endpoint_url or ""]
    else:
        assert source.presigned_url is not None  # the CRD's rule: exactly one source  # noqa: S101
        reference = source.presigned_url.secret_key_ref
        parts = ["presignedURL", reference.name, reference.key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def source_text(spec: CustomModelSpec) -> str:
    """The source in one short string for people."""
    source = spec.source
    if source.hugging_face is not None:
        return f"hf://{source.hugging_face.repo}"
    if source.s3 is not None:
        return source.s3.uri
    assert source.presigned_url is not None  # noqa: S101
    return f"secret/{source.presigned_url.secret_key_ref.name}"
