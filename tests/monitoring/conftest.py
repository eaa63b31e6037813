"""Prometheus for these tests, from the PATH or from Debian."""

import pytest

from tests.support.prometheus import PrometheusMissingError, program


@pytest.fixture(scope="session", autouse=True)
def prometheus_is_there() -> None:
    """Without it, say so: everything else needs nothing but Python, make and git."""
    try:
        program("promtool")
    except PrometheusMissingError as error:
        pytest.skip(f"the alerts and the dashboard are not tested: {error}")
