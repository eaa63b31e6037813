"""Builds the image with buildah on a base of our own, and writes it as an archive."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.image.debian import ImageError, bootstrap, cut
from hack.image.processes import run
from tests.support.go_module import cache_root, say

ROOT = Path(__file__).parents[2]
PROGRAMS = {"buildah": "buildah", "debootstrap": "debootstrap"}
_PIP_OPTIONS = frozenset({"index-url", "extra-index-url", "trusted-host", "cert", "proxy"})


def lacking() -> list[str]:
    """What this machine lacks to build the image; Debian's package names."""
    packages = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return packages if os.geteuid() == 0 else ["root", *packages]


@dataclass(frozen=True)
class Storage:
    """Buildah's images in a folder of our own; `driver` is how it stores their layers."""

    folder: Path
    driver: str

    @classmethod
    @contextmanager
    def in_cache(cls) -> Iterator[Storage]:
        """The one that is kept, so that base images are made once; nobody else has it meanwhile."""
        folder = cache_root() / "image"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            storage = cls._that_works(folder)
            # What a build that was killed left behind.
            storage.run("rm", "--all")
            yield storage

    @classmethod
    def _that_works(cls, folder: Path) -> Storage:
        # vfs copies every layer whole, but needs nothing of the kernel.
        storage = cls(folder / "overlay", "overlay")
        try:
            container = storage.run("from", "scratch").strip()
            storage.run("mount", container)
            storage.run("umount", container)
        except ImageError:
            say("No overlay file system here: building on copies, which takes ten minutes longer")
            return cls(folder / "vfs", "vfs")
        return storage

    def run(self, *args: str) -> str:
        """Run buildah.

        Raises:
            ImageError: it failed.
        """
        where = ("--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"))
        command = ["buildah", *where, "--storage-driver", self.driver, *args]
        ended = run(command, output=subprocess.PIPE, errors=subprocess.PIPE)
        if ended.returncode:
            output = f"{ended.stdout[-1500:]}{ended.stderr[-1500:]}"
            raise ImageError(f"buildah {args[0]} failed:\n{output}")
        return ended.stdout

    def has(self, tag: str) -> bool:
        """Whether there is an image of that name."""
        images = json.loads(self.run("images", "--json") or "[]") or []
        return any(tag in (image.get("names") or []) for image in images)


def base_images(storage: Storage) -> tuple[str, str]:
    """The names of the images to build in and to run in, made when they aren't there."""
    recipe = hashlib.sha256((ROOT / "hack/image/debian.py").read_bytes()).hexdigest()[:12]
    build, base = (f"localhost/python-debian-{kind}:{recipe}" for kind in ("build", "run"))
    if storage.has(build) and storage.has(base):
        return build, base
    say("Making base images with debootstrap: about a minute, once")
    with tempfile.TemporaryDirectory(prefix="together-image-") as folder:
        rootfs, running = Path(folder) / "rootfs", Path(folder) / "run"
        bootstrap(rootfs, log=Path(folder) / "debootstrap.log")
        cut(rootfs, running)
        for tag, tree in ((build, rootfs), (base, running)):
            _import(storage, tag, tree)
    return build, base


def _import(storage: Storage, tag: str, tree: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="together-image-") as folder:
        archive = Path(folder) / "rootfs.tar"
        command = ["tar", "--sort=name", "--mtime=@0", "--numeric-owner", "-C", str(tree)]
        subprocess.run([*command, "-cf", str(archive), "."], check=True)
        (Path(folder) / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        options = ("--isolation", "chroot", "--timestamp", "0", "--format", "oci")
        storage.run("bud", *options, "--tag", tag, folder)


def build(storage: Storage, tag: str, *, epoch: int = 0, cached: bool = True) -> str:
    """Build the image of this tree.

    Args:
        cached: take over the layers of an earlier build whose input was the same.
        epoch: SOURCE_DATE_EPOCH, seconds since 1970, of everything in the image.

    Returns:
        The image's id, which is a hash of all that is in it.

    Raises:
        ImageError: it can't be built.
    """
    builder, base = base_images(storage)
    with tempfile.TemporaryDirectory(prefix="together-image-") as folder:
        options = _pip_options(Path(folder))
        arguments = {
            "BASE_IMAGE": base,
            "BUILD_IMAGE": builder,
            "SOURCE_DATE_EPOCH": str(epoch),
        }
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        options += ["--isolation", "chroot", "--timestamp", str(epoch), "--format", "docker"]
        identity = Path(folder) / "id"
        storage.run(
            *("bud", *(("--layers",) if cached else ("--no-cache",)), *options),
            *("--iidfile", str(identity)),
            *("--tag", tag, "--file", str(ROOT / "Dockerfile"), str(ROOT)),
        )
        return identity.read_text().strip()


def pause(storage: Storage, tag: str) -> None:
    """Build an image whose only container waits: what holds a pod's namespaces."""
    _, base = base_images(storage)
    program = ["/usr/bin/python3", "-ISc", "import signal; signal.pause()"]
    with tempfile.TemporaryDirectory(prefix="together-image-") as folder:
        text = f"FROM {base}\nUSER 65532\nENTRYPOINT {json.dumps(program)}\n"
        (Path(folder) / "Dockerfile").write_text(text)
        storage.run("bud", "--isolation", "chroot", "--format", "docker", "--tag", tag, folder)


def export(storage: Storage, tag: str, archive: Path) -> int:
    """Write the image as an archive for `ctr images import` or `docker load`; its bytes."""
    archive.unlink(missing_ok=True)
    storage.run("push", tag, f"docker-archive:{archive}:{tag}")
    return archive.stat().st_size


def _pip_options(folder: Path) -> list[str]:
    """How pip gets at its packages on this machine, as a secret that stays out of the image."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    values = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in _PIP_OPTIONS:
            values[option] = value.strip("'\"")
    text = "".join(f"{option} = {value}\n" for option, value in values.items())
    (folder / "pip.conf").write_text(f"[global]\n{text}")
    options = ["--secret", f"id=pip.conf,src={folder / 'pip.conf'}"]
    if "cert" in values:
        options += ["--volume", f"{values['cert']}:{values['cert']}:ro"]
    return options
