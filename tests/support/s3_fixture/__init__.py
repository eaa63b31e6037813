"""A small, fast S3 server for tests and benchmarks of the archiver.

It does what a benchmark needs and other test servers don't: copies parts by reference, in O(1),
checks SigV4 and the expiry of presigned URLs, enforces the 5 MiB minimum, lists parts, returns
CRCs, counts bytes, and behaves as badly as it is told to (`Quirks`, `Fault`).
"""

from tests.support.s3_fixture.behaviour import Counters, Fault, Quirks
from tests.support.s3_fixture.server import S3Fixture

__all__ = ["Counters", "Fault", "Quirks", "S3Fixture"]
