"""Hypothesis profiles: every run draws the same examples unless ``HYPOTHESIS_PROFILE=explore`` asks for new ones."""

import os
import signal

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

settings.register_profile("ci", derandomize=True, max_examples=40, database=None, **_COMMON)
settings.register_profile("explore", max_examples=400, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: tests of Ctrl-C need it
    signal.signal(signal.SIGINT, signal.default_int_handler)
