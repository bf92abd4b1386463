"""How much is tried: in every run of the tests, and with `--hypothesis-profile=thorough`."""

from typing import Final

from hypothesis import HealthCheck, settings

PROFILES: Final = {"stateful": (40, 40), "thorough": (3_000, 120)}
"""How many examples, and of how many steps."""
LONGEST: Final = 900
"""Seconds that a machine may run: a thorough one on a database takes hours, the usual one about a minute."""
SLOW: Final = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

for _name, (_examples, _steps) in PROFILES.items():
    settings.register_profile(
        _name,
        max_examples=_examples,
        stateful_step_count=_steps,
        deadline=None,
        database=None,
        print_blob=True,
        derandomize=False,
        suppress_health_check=SLOW,
    )


def is_thorough() -> bool:
    """Tell whether pytest was asked for it: `pytest tests/stateful --hypothesis-profile=thorough`."""
    return settings.get_current_profile_name() == "thorough"


def chosen() -> settings:
    """Return the settings in force. Ask when a test module is imported: by then pytest has read its options."""
    return settings.get_profile("thorough" if is_thorough() else "stateful")
