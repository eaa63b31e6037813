"""Fixtures that every suite may use: the throw-away cluster and the simulators."""

import os

from hypothesis import settings

pytest_plugins = [
    "tests.support.cluster.pytest_plugin",
    "tests.support.simulators.pytest_plugin",
]

# No deadline: how fast a machine is at the moment says nothing about what a test is about.
settings.register_profile("default", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
