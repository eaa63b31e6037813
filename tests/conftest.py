"""Fixtures that every suite may use: the throw-away cluster and the simulators."""

pytest_plugins = [
    "tests.support.cluster.pytest_plugin",
    "tests.support.simulators.pytest_plugin",
]
