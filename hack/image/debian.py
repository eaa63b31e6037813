"""Base images from Debian packages, for machines that reach no registry of images.

Two images with the same Python at the same path: one to build in (`debootstrap`, with venv and pip)
and one to run in, which is cut out of the first: Python, what it links to, certificates, and
nothing else. There is no shell, no package manager and no compiler in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from hack.image.processes import run

BUILD_PACKAGES = ("python3", "python3-venv", "ca-certificates", "netbase", "tzdata")
ROOTS = ("base-files", "python3", "ca-certificates", "netbase", "tzdata", "libstdc++6")
# Needed to install or configure packages, not to run Python.
LEFT_OUT = frozenset(
    {
        "debconf",
        "dpkg",
        "mawk",
        "openssl",
        "perl-base",
        "python3-distutils",
        "python3-lib2to3",
        "tar",
    }
)
# Parts of packages that no Python program reads.
NOT_COPIED = re.compile(
    r"/(usr/share/(doc|man|info|locale|lintian|bug|menu|pixmaps|applications|binfmts|ca-certificates)"
    r"|usr/sbin|sbin|bin|etc/(ca-certificates|update-motd\.d|kernel|dpkg|skel|default|profile\.d)|var/lib/python)(/|$)"
)
PROGRAMS = re.compile(r"/usr/bin/python3(\.\d+)?$")
_SAME_BYTES = {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0"}
PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
GROUP = "root:x:0:\nnonroot:x:65532:\n"


class ImageError(Exception):
    """An image can't be built; the message says what to do."""


def bootstrap(target: Path, *, log: Path) -> None:
    """Fill a folder with a minimal Debian of this machine's release, and Python.

    Raises:
        ImageError: debootstrap failed.
    """
    release, mirror = _source()
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(BUILD_PACKAGES)}"]
    with log.open("w") as file:
        ended = run([*command, release, str(target), mirror], output=file, errors=file)
    if ended.returncode:
        raise ImageError(f"debootstrap failed; the end of {log}:\n{log.read_text()[-1500:]}")
    shutil.rmtree(target / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(target / "var/lib/apt/lists", ignore_errors=True)


def cut(rootfs: Path, target: Path) -> list[str]:
    """Copy Python and what it needs out of a Debian into an empty folder.

    Returns:
        The names of the packages that it is made of.
    """
    packages = _packages(rootfs)
    chosen = sorted(_closure(packages))
    target.mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (target / "usr" / name).mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(f"usr/{name}")
    for name in chosen:
        for path in _files(rootfs, name, packages[name]):
            _copy(rootfs, target, path)
    bundle = Path("etc/ssl/certs/ca-certificates.crt")
    (target / bundle).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(rootfs / bundle, target / bundle)
    (target / "etc/passwd").write_text(PASSWD)
    (target / "etc/group").write_text(GROUP)
    (target / "tmp").mkdir(exist_ok=True)
    (target / "tmp").chmod(0o1777)
    # Where scanners of images look for what is in them.
    status = target / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text("\n".join(packages[name]["_text"] + "\n" for name in chosen))
    # Debian compiles when it installs; where nothing can be written, every start would compile.
    compileall = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    library = next((target / "usr/lib").glob("python3.*"))
    command = ("chroot", str(target), "/usr/bin/python3", *compileall, f"/usr/lib/{library.name}")
    subprocess.run(command, check=True, env=os.environ | _SAME_BYTES)
    return chosen


def _source() -> tuple[str, str]:
    """Release and mirror that this machine's apt uses."""
    targets = ("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI) $(COMPONENT)")
    lines = subprocess.run(
        [*targets, "Created-By: Packages"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    release = _os_release("VERSION_CODENAME")
    for line in lines:
        codename, uri, component = line.split()
        if codename == release and component == "main":
            return release, uri
    raise ImageError(f"apt knows no source of Debian {release!r}: run apt-get update")


def _os_release(key: str) -> str:
    match = re.search(rf"^{key}=(\S+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    return match.group(1).strip('"') if match else ""


def _packages(rootfs: Path) -> dict[str, dict[str, str]]:
    """Every installed package with its fields; `_text` is the whole paragraph."""
    found = {}
    for paragraph in (rootfs / "var/lib/dpkg/status").read_text().strip().split("\n\n"):
        fields = {
            key: value.strip()
            for key, _, value in (line.partition(":") for line in paragraph.splitlines())
            if not key.startswith(" ")
        }
        found[fields["Package"]] = fields | {"_text": paragraph}
    return found


def _closure(packages: Mapping[str, Mapping[str, str]]) -> set[str]:
    provided = {
        name.split()[0]: package
        for package, fields in packages.items()
        for name in fields.get("Provides", "").split(",")
        if name.strip()
    }
    chosen: set[str] = set()
    waiting = [*ROOTS]
    while waiting:
        name = waiting.pop()
        name = name if name in packages else provided.get(name, name)
        if name in chosen or name in LEFT_OUT or name not in packages:
            continue
        chosen.add(name)
        fields = packages[name]
        for field in ("Depends", "Pre-Depends"):
            # Alternatives too: those that are not installed are passed over above.
            for word in re.split(r"[,|]", fields.get(field, "")):
                waiting += re.findall(r"^\s*([a-z0-9][a-z0-9+.-]+)", word)
    return chosen


def _files(rootfs: Path, name: str, fields: Mapping[str, str]) -> Iterator[str]:
    info = rootfs / "var/lib/dpkg/info"
    architecture = fields.get("Architecture", "")
    listed = next(
        path
        for path in (info / f"{name}.list", info / f"{name}:{architecture}.list")
        if path.exists()
    )
    for path in listed.read_text().splitlines():
        if (
            path != "/."
            and not NOT_COPIED.match(path)
            and (PROGRAMS.match(path) or not path.startswith("/usr/bin/"))
        ):
            yield path


def _copy(rootfs: Path, target: Path, path: str) -> None:
    # /lib is a link to /usr/lib: what lies below it is put where the link leads to.
    source = rootfs / path.lstrip("/")
    parent = Path(os.path.realpath(source.parent)).relative_to(os.path.realpath(rootfs))
    copy = target / parent / source.name
    if copy.is_symlink() or copy.exists():
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        copy.symlink_to(source.readlink())
    elif source.is_dir():
        copy.mkdir()
        copy.chmod(source.stat().st_mode & 0o7777)
    elif source.is_file():
        shutil.copy2(source, copy)
