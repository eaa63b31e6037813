"""How the fixture may deviate from a good store, and what it counts."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "internal_error",  # 500 before anything was done
    "slow_down",  # 503 SlowDown
    "access_denied",  # 403
    "error_in_200",  # status 200 with an error document, nothing done
    "lost_answer",  # done, and then the connection is closed without an answer
    "reset_request",  # closed after half of the request's body
    "reset_response",  # closed after half of the response's body
]


@dataclass
class Quirks:
    """Lasting habits of a store."""

    copy: Literal["works", "empty_part", "not_implemented", "forbidden"] = "works"
    honours_if_match: bool = True
    checksums: Literal["returned", "ignored", "refused"] = "returned"
    copy_checksums: bool = True
    trailers: bool = True
    """Whether aws-chunked bodies are understood; if not, their framing is stored as content."""
    equal_parts: bool = False
    every_part_named: bool = False
    """Refuse to complete an upload that has parts which are not named, as Ceph does."""
    list_uploads: bool = True
    exact_prefix: bool = False
    """Take the prefix of a list of uploads for a whole key, as MinIO does."""
    minimum_part: int = 5 << 20
    kms_etags: bool = False
    """ETags that are no hash of the content, and differ each time."""
    latency_seconds: float = 0.0
    forget_parts: bool = False
    """Keep the size and CRC-32 of parts, not their content, for archives larger than memory."""
    corrupt_put: bool = False
    """Store parts with one byte flipped, and own up to nothing."""


@dataclass
class Fault:
    """Happens to the next `times` requests of `operation`, after `skip` good ones."""

    operation: str
    kind: FaultKind
    times: int = 1
    skip: int = 0


@dataclass
class Counters:
    """Bytes of bodies through the server's sockets, and requests by operation."""

    bytes_in: int = 0
    bytes_out: int = 0
    bytes_copied: int = 0
    requests: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, object]:
        return {
            "bytesIn": self.bytes_in,
            "bytesOut": self.bytes_out,
            "bytesCopied": self.bytes_copied,
            "requests": dict(self.requests),
        }


class FaultList:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def unused(self) -> list[Fault]:
        """Those that were not injected, or less often than they were to be."""
        with self._lock:
            return [fault for fault in self._faults if fault.times]

    def take(self, operation: str) -> FaultKind | None:
        with self._lock:
            for fault in self._faults:
                if fault.operation != operation or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault.kind
        return None
