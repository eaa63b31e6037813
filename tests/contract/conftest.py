"""Fixtures of the contract tests."""

from tests.support.simulators.pytest_plugin import hub_sim, s3_server, s3_sim, together_sim

__all__ = ["hub_sim", "s3_server", "s3_sim", "together_sim"]
