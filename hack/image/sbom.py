"""A software bill of materials (CycloneDX) of an image archive: Debian's packages and Python's."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path
from typing import IO
from uuid import UUID, uuid5

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

_SPACE = UUID("6f0b2f6c-6a43-4a55-9d84-0c3a5c1f7e11")
"""So that the document of one image is the same each time."""


def document(archive: Path, *, name: str, version: str, epoch: int) -> str:
    """The bill of materials of a docker-archive, as CycloneDX 1.6 in JSON.

    Args:
        name: of the image.
        version: of the image.
        epoch: time of the document, seconds since 1970.
    """
    subject = Component(
        type=ComponentType.CONTAINER, name=name, version=version, bom_ref=f"{name}:{version}"
    )
    components = sorted(_components(archive), key=lambda c: (str(c.purl), c.name))
    bom = Bom(components=components)
    bom.metadata.component = subject
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.register_dependency(subject, components)
    content = "\n".join(str(component.purl) for component in components)
    bom.serial_number = uuid5(_SPACE, f"{name}:{version}\n{content}")
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=2)


def _components(archive: Path) -> Iterator[Component]:
    for path, text in _described(archive):
        if path.endswith("var/lib/dpkg/status"):
            for paragraph in text.strip().split("\n\n"):
                fields = HeaderParser().parsestr(paragraph)
                yield _component("deb", fields["Package"], fields["Version"], namespace="debian")
        else:
            fields = HeaderParser().parsestr(text)
            yield _component("pypi", fields["Name"].lower(), fields["Version"])


def _component(kind: str, name: str, version: str, namespace: str | None = None) -> Component:
    purl = PackageURL(type=kind, namespace=namespace, name=name, version=version)
    return Component(
        type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=str(purl)
    )


def _described(archive: Path) -> Iterator[tuple[str, str]]:
    """Files of all layers that say which package is there; of a file in two layers, the last."""
    found: dict[str, str] = {}
    with tarfile.open(archive) as outer:
        for member in outer.getmembers():
            if not member.isfile() or not member.name.endswith(".tar"):
                continue
            layer = outer.extractfile(member)
            if layer is not None:
                found |= _of_layer(layer)
    yield from sorted(found.items())


def _of_layer(layer: IO[bytes]) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=layer) as inner:
        for member in inner:
            path = member.name.removeprefix("./")
            if path == "var/lib/dpkg/status" or path.endswith(".dist-info/METADATA"):
                file = inner.extractfile(member)
                assert file is not None
                found[path] = file.read().decode()
    return found
