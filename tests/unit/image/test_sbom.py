"""The bill of materials names what is in the layers of an image."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

from hack.image import sbom

if TYPE_CHECKING:
    from pathlib import Path

STATUS = "Package: libc6\nVersion: 2.36-9\nStatus: x\n\nPackage: zlib1g\nVersion: 1:1.2\n"
METADATA = "Metadata-Version: 2.4\nName: Kopf\nVersion: 1.45.2\n\nA text.\n"


def tar(files: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_it_names_packages_of_debian_and_python_and_is_the_same_each_time(tmp_path: Path) -> None:
    base = tar({"./var/lib/dpkg/status": STATUS.encode(), "etc/passwd": b"Name: nobody"})
    ours = tar({"opt/x/lib/kopf-1.45.2.dist-info/METADATA": METADATA.encode()})
    archive = tmp_path / "image.tar"
    archive.write_bytes(tar({"a.tar": base, "b.tar": ours, "manifest.json": b"[]"}))

    text = sbom.document(archive, name="image", version="1", epoch=0)

    found = json.loads(text)
    assert {component["purl"] for component in found["components"]} == {
        "pkg:deb/debian/libc6@2.36-9",
        "pkg:deb/debian/zlib1g@1:1.2",
        "pkg:pypi/kopf@1.45.2",
    }
    assert found["metadata"]["component"]["name"] == "image"
    assert sbom.document(archive, name="image", version="1", epoch=0) == text
