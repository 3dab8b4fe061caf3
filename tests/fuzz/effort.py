"""How long to search: seconds in every test run, `make fuzz MINUTES=…` for longer."""

import os

from hypothesis import HealthCheck, settings

EFFORT = int(os.environ.get("FUZZ_EFFORT", "1"))


def searching(examples: int) -> settings:
    """Try so many examples, or `FUZZ_EFFORT` times as many."""
    return settings(
        max_examples=examples * EFFORT,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
