"""Which files of a source go into the archive, and under which names none may.

Junk and second copies of the weights in other formats are left out and named in the result; a name
that an extractor could take for a path out of the directory is refused.
"""

import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.sources import Entry

_JUNK_DIRECTORIES = frozenset(
    {".git", ".cache", ".huggingface", "__pycache__", ".ipynb_checkpoints", "lost+found"}
)
_JUNK_FILES = (".DS_Store", "Thumbs.db", ".gitattributes", ".gitignore", "*.lock", "*.incomplete")
# What `huggingface_hub` repositories carry beside safetensors, by the framework that wrote it.
_OTHER_WEIGHTS = (
    "*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.gguf",
)  # fmt: skip
_OTHER_WEIGHT_DIRECTORIES = frozenset({"onnx", "openvino", "coreml", "original", "gguf"})


@dataclass(frozen=True, slots=True)
class Excluded:
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    kept: Sequence[Entry]
    excluded: Sequence[Excluded]


def excluded_directory(name: str) -> bool:
    """Whether a directory of this name is junk as a whole, so that nobody need look inside."""
    return name in _JUNK_DIRECTORIES


def select(entries: Iterable[Entry], include: Sequence[str] = ()) -> Selection:
    """Split `entries`; a glob in `include` that matches the whole name keeps a file regardless.

    Raises `SourceUnacceptable` for unsafe or contradictory names, and when nothing is left.
    """
    entries = sorted(entries, key=lambda entry: entry.name.encode("utf-8", "surrogatepass"))
    with_safetensors = {
        posixpath.dirname(entry.name)
        for entry in entries
        if entry.name.endswith(".safetensors") and "consolidated" not in entry.name
    }
    kept: list[Entry] = []
    excluded: list[Excluded] = []
    for entry in entries:
        if any(fnmatchcase(entry.name, pattern) for pattern in include):
            reason = None
        else:
            reason = _reason_to_exclude(entry.name, with_safetensors)
        if entry.name.endswith("/"):
            reason = reason or _marker(entry)
        if reason is not None:
            excluded.append(Excluded(entry.name, reason))
            continue
        check_name(entry.name)
        kept.append(entry)
    _refuse_files_that_are_directories(kept)
    if not kept:
        raise SourceUnacceptable("there is no file to archive; does SOURCE name the model's root?")
    return Selection(kept, excluded)


def check_name(name: str) -> None:
    """Raises `SourceUnacceptable` unless every extractor puts `name` below its directory."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceUnacceptable(f"{name!a} is not valid UTF-8; rename the file") from None
    components = name.split("/")
    if name.startswith("/"):
        problem = "is an absolute path"
    elif ".." in components:
        problem = "climbs out of the archive with '..'"
    elif "" in components or "." in components:
        problem = "has an empty or '.' component"
    elif any(unicodedata.category(character) == "Cc" for character in name):
        problem = "has a control character"
    elif "\\" in name or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
        problem = "looks like a Windows path"
    elif len(name.encode()) > 4095 or any(len(part.encode()) > 255 for part in components):
        problem = "is longer than a file system takes (255 bytes a component)"
    else:
        return
    raise SourceUnacceptable(f"the name {name[:300]!a} {problem}; rename or remove the file")


def _reason_to_exclude(name: str, with_safetensors: set[str]) -> str | None:
    *directories, base = name.rstrip("/").split("/")
    if name.endswith("/"):
        directories, base = [*directories, base], ""
    if any(excluded_directory(directory) for directory in directories):
        return "junk"
    if any(fnmatchcase(base, pattern) for pattern in _JUNK_FILES):
        return "junk"
    return _reason_to_exclude_weights(name, base, directories, with_safetensors)


def _reason_to_exclude_weights(
    name: str, base: str, directories: list[str], with_safetensors: set[str]
) -> str | None:
    if "" in with_safetensors and any(d in _OTHER_WEIGHT_DIRECTORIES for d in directories[:1]):
        return "another format of the weights"
    if posixpath.dirname(name) not in with_safetensors:
        return None
    if any(fnmatchcase(base, pattern) for pattern in _OTHER_WEIGHTS):
        return "another format of the weights"
    if base.startswith("consolidated") and base.endswith(".safetensors"):
        return "another format of the weights"
    return None


def _marker(entry: Entry) -> str:
    if entry.size:
        raise SourceUnacceptable(
            f"the name {entry.name[:300]!a} ends with '/' but has content; rename the object"
        )
    return "directory marker"


def _refuse_files_that_are_directories(kept: Sequence[Entry]) -> None:
    names = {entry.name for entry in kept}
    for name in sorted(names):
        parent = posixpath.dirname(name)
        while parent:
            if parent in names:
                raise SourceUnacceptable(
                    f"{parent!r} is both a file and the directory of {name!r}; rename one of them"
                )
            parent = posixpath.dirname(parent)
