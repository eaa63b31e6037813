"""The SOURCE and DESTINATION of the command line, parsed."""

import re
from dataclasses import dataclass
from pathlib import Path

from together_operator.archive.errors import InvalidUsage

FORMAT_SUFFIXES = {".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar": "tar", ".zip": "zip"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{1,254}\Z")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class LocalPath:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class S3Location:
    """`key` is an object's key, or a prefix when it is empty or ends with `/`."""

    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        return not self.key or self.key.endswith("/")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class HubLocation:
    repo: str
    revision: str | None

    def __str__(self) -> str:
        return f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")


def parse_source(text: str) -> LocalPath | S3Location | HubLocation:
    """Raises `InvalidUsage` with the form that was expected."""
    if text.startswith("s3://"):
        return _parse_s3(text)
    if text.startswith("hf://"):
        repo, _, revision = text.removeprefix("hf://").partition("@")
        if not _REPO.match(repo):
            raise InvalidUsage(f"{text!r} is not hf://ORG/REPO or hf://ORG/REPO@REVISION")
        return HubLocation(repo, revision or None)
    _refuse_other_schemes(text)
    return LocalPath(Path(text))


def parse_destination(text: str) -> LocalPath | S3Location:
    if text.startswith("s3://"):
        return _parse_s3(text)
    _refuse_other_schemes(text)
    return LocalPath(Path(text))


def format_of(name: str) -> str | None:
    """The archive format that a file name ends with, or None."""
    lowered = name.lower()
    return next((form for end, form in FORMAT_SUFFIXES.items() if lowered.endswith(end)), None)


def _parse_s3(text: str) -> S3Location:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not _BUCKET.match(bucket):
        raise InvalidUsage(f"{text!r} is not s3://BUCKET/KEY or s3://BUCKET/PREFIX/")
    return S3Location(bucket, key)


def _refuse_other_schemes(text: str) -> None:
    scheme, separator, _ = text.partition("://")
    if separator:
        raise InvalidUsage(f"{scheme}:// is not supported here; use a path, s3:// or hf://")
    if not text:
        raise InvalidUsage("an empty path names nothing")
