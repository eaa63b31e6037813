"""Reads manifests, as they are given to kubectl."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from together_operator.api.v1alpha1 import GROUP
from together_operator.commands.cluster import PLURALS
from together_operator.domain.errors import SecretUnavailable

Body = Mapping[str, Any]


@dataclass
class Wanted:
    """What some manifests hold: our objects, and the Secrets beside them."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[tuple[str, str], dict[str, SecretStr]] = field(default_factory=dict)


def read_manifests(names: Sequence[str], namespace: str) -> Wanted:
    """Our objects and the Secrets in some files; other kinds are passed over.

    Raises:
        click.ClickException: a file can't be read, or an object in it is none.
    """
    wanted = Wanted()
    for origin, found in _documents(names):
        written = _without_nulls(found)
        for name in ("metadata", "data", "stringData"):
            if not isinstance(written.get(name), dict | None):
                raise click.ClickException(f"{origin}: {written.get('kind')}: {name}: write a map")
        metadata = {"namespace": namespace, **(written.get("metadata") or {})}
        body = {**written, "metadata": metadata}
        if body.get("kind") == "Secret":
            wanted.secrets[metadata["namespace"], metadata.get("name", "")] = _values(body)
        elif str(body.get("apiVersion", "")).startswith(f"{GROUP}/"):
            wanted.objects.append(_ours(origin, body))
    return wanted


def _ours(origin: str, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("kind") not in PLURALS:
        raise click.ClickException(f"{origin}: {body.get('kind')} is no kind of {GROUP}")
    if not body["metadata"].get("name"):
        raise click.ClickException(f"{origin}: {body['kind']}: metadata.name: write a name")
    return body


def _without_nulls(value: Any) -> Any:
    """As the API server takes a manifest: an empty field is one that isn't there."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@cache
def _loader() -> Any:
    """Of YAML as kubectl reads it: what looks like a date is text."""
    import yaml

    date = "tag:yaml.org,2002:timestamp"
    known = yaml.SafeLoader.yaml_implicit_resolvers.items()
    resolvers = {start: [found for found in all_ if found[0] != date] for start, all_ in known}
    return type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def _documents(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import yaml

    for name in names:
        for origin, text in _texts(name):
            try:
                for found in yaml.load_all(text, _loader()):
                    listed = found.get("items") if isinstance(found, dict) else None
                    for body in listed if isinstance(listed, list) else [found]:
                        if isinstance(body, dict):
                            yield origin, body
            except yaml.YAMLError as error:
                raise click.ClickException(f"{origin}: {error}") from None


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "stdin", sys.stdin.read()
        return
    path = Path(name)
    suffixes = {".yaml", ".yml", ".json"}
    files = sorted(p for p in path.rglob("*") if p.suffix in suffixes) if path.is_dir() else [path]
    for file in files:
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}: {error}") from None


def _values(body: Body) -> dict[str, SecretStr]:
    import base64
    import binascii

    values = {str(k): SecretStr(str(v)) for k, v in (body.get("stringData") or {}).items()}
    for key, value in (body.get("data") or {}).items():
        try:
            values.setdefault(key, SecretStr(base64.b64decode(str(value)).decode()))
        except (binascii.Error, UnicodeDecodeError):
            name = body["metadata"].get("name", "")
            raise SecretUnavailable(name, key, "the value is not text in base64") from None
    return values
