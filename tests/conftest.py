"""Fixtures that every suite may use: the throw-away cluster and the simulators."""

import os
import signal

from hypothesis import settings

pytest_plugins = [
    "tests.support.cluster.pytest_plugin",
    "tests.support.simulators.pytest_plugin",
]

# No deadline: how fast a machine is at the moment says nothing about what a test is about.
settings.register_profile("default", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell starts what it puts into the background with SIGINT ignored, and so does every child of it
# that a test means to interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
