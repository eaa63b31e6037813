"""A simulator of Together's v2 API that checks what it is given."""

from tests.support.simulators.together.audit import AuditEntry
from tests.support.simulators.together.clock import ManualClock, SystemClock, Timing
from tests.support.simulators.together.faults import Fault
from tests.support.simulators.together.platform import ApiKey
from tests.support.simulators.together.simulator import (
    FORBIDDEN_KEY,
    KEY,
    ORGANIZATION_KEY,
    OTHER_KEY,
    OTHER_PROJECT,
    PROJECT,
    READ_ONLY_KEY,
    TogetherSimulator,
)

__all__ = [
    "FORBIDDEN_KEY",
    "KEY",
    "ORGANIZATION_KEY",
    "OTHER_KEY",
    "OTHER_PROJECT",
    "PROJECT",
    "READ_ONLY_KEY",
    "ApiKey",
    "AuditEntry",
    "Fault",
    "ManualClock",
    "SystemClock",
    "Timing",
    "TogetherSimulator",
]
