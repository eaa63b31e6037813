"""A local file, written beside its name and renamed once it is whole."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from together_operator.archive.destinations import PartBody, PresentPart
from together_operator.archive.errors import DestinationUnwritable
from together_operator.archive.layout import Part, lay_out
from together_operator.archive.plan import FileRange, Plan


class LocalFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def uri(self) -> str:
        return f"file://{self._path.absolute()}"

    def find_finished(self, plan: Plan) -> int | None:  # noqa: ARG002
        return None

    def begin(self, plan: Plan, *, equal_parts: bool = False) -> "LocalUpload":  # noqa: ARG002
        if self._path.is_dir():
            raise DestinationUnwritable(f"{self._path} is a directory; name a file in it")
        return LocalUpload(self._path, plan)


class LocalUpload:
    layout: Sequence[Part]
    present: Mapping[int, PresentPart]

    def __init__(self, path: Path, plan: Plan) -> None:
        self.layout = lay_out(plan, "compressed" if plan.compression else "stream")
        self.present = {}
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self._descriptor = os.open(
                self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644
            )
        except OSError as error:
            raise self._refused(error) from None

    copies = False

    def can_copy(self, index: int) -> bool:  # noqa: ARG002
        return False

    def known_crc(self, index: int) -> int | None:  # noqa: ARG002
        return None

    def copy(self, part: Part, bulk: FileRange) -> int | None:
        raise NotImplementedError("a local file copies nothing; ask can_copy first")

    def put(self, part: Part, body: PartBody) -> None:
        offset = part.start
        for block in body.blocks():
            position = 0
            try:
                while position < len(block):
                    position += os.pwrite(self._descriptor, block[position:], offset + position)
            except OSError as error:
                raise self._refused(error) from None
            offset += position

    def complete(self, parts: Sequence[Part], crc: int | None) -> None:  # noqa: ARG002
        if os.fstat(self._descriptor).st_size != sum(part.size for part in parts):
            raise DestinationUnwritable(f"{self._path}: its size is not the plan's; run again")
        try:
            os.fsync(self._descriptor)
            self._partial.replace(self._path)
        except OSError as error:
            raise self._refused(error) from None

    def abort(self) -> None:
        self._partial.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)
        self._partial.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> DestinationUnwritable:
        word = os.strerror(error.errno) if error.errno else type(error).__name__
        return DestinationUnwritable(f"{self._path}: {word}; free space or name another file")
