"""What ends an archive run early. The class is the exit code (sysexits), the message is one line
that says what happened and what to do, and never carries a remote body, a signed URL or a secret.
"""

from typing import ClassVar


class ArchiveError(Exception):
    """Root of everything this package raises on purpose."""

    exit_code: ClassVar[int] = 70


class InvalidUsage(ArchiveError):
    """The command line contradicts itself or names something that cannot exist (EX_USAGE)."""

    exit_code = 64


class SourceUnacceptable(ArchiveError):
    """The source as it is can't become a right archive; trying again won't help (EX_DATAERR)."""

    exit_code = 65


class DestinationUnwritable(ArchiveError):
    """The destination can't take the archive: no such bucket, a directory in the way
    (EX_CANTCREAT).
    """

    exit_code = 73


class TemporaryFailure(ArchiveError):
    """Another try, which resumes, may well succeed (EX_TEMPFAIL)."""

    exit_code = 75


class SourceChanged(TemporaryFailure):
    """A file was replaced, truncated or deleted while it was read; the next try plans anew."""


class UploadGoneError(TemporaryFailure):
    """The unfinished upload is not there any more: completed or aborted by somebody else."""


class CorruptedError(TemporaryFailure):
    """Bytes are not those that the source promised; what was sent of them can't be used."""


class StoppedError(TemporaryFailure):
    """The process was asked to stop; what was sent so far is kept for the next try."""


class PermissionRefused(ArchiveError):
    """Credentials are missing, wrong or too weak (EX_NOPERM)."""

    exit_code = 77
