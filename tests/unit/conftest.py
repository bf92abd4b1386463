"""Generated examples have no time limit each: on a busy machine it would fail tests that are right."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ciosync", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.load_profile("ciosync")
