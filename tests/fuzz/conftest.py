"""How long to search: seconds in every test run, `make fuzz MINUTES=…` for longer."""

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "default", max_examples=300, deadline=None, suppress_health_check=SLOW
)
settings.register_profile(
    "fuzz", max_examples=3000, deadline=None, suppress_health_check=SLOW
)
settings.load_profile("default")
