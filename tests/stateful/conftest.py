from tests.stateful import profiles  # noqa: F401 - so that the profiles are known when pytest is asked for one
