"""USTAR, with PAX records only for what USTAR cannot say (long or non-ASCII names, over 8 GiB)."""

import tarfile
from collections.abc import Sequence

from together_operator.archive.sources import Entry


class TarFormat:
    name = "tar"
    needs_crc = False

    def header_size(self, entry: Entry) -> int:
        return len(self.header(entry, 0))

    def header(self, entry: Entry, crc: int) -> bytes:  # noqa: ARG002
        info = tarfile.TarInfo(entry.name)
        info.size = entry.size
        info.mode = 0o644
        try:
            return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
        except ValueError:
            return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")

    def padding(self, entry: Entry) -> int:
        return -entry.size % tarfile.BLOCKSIZE

    def trailer_size(self, entries: Sequence[Entry], offsets: Sequence[int]) -> int:
        end = offsets[-1] + self.header_size(entries[-1]) + entries[-1].size
        end += self.padding(entries[-1])
        return 2 * tarfile.BLOCKSIZE + -(end + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE

    def trailer(
        self,
        entries: Sequence[Entry],
        offsets: Sequence[int],
        crcs: Sequence[int],  # noqa: ARG002
    ) -> bytes:
        return bytes(self.trailer_size(entries, offsets))
