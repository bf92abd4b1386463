"""The flood of `webhook_flood`, a short one: the long one is run by hand."""

from collections.abc import Iterator

import pytest
from flask import Flask

from cio_tasks.db import Sessions
from cio_tasks.settings import Settings
from tests.api.webhook_flood import Figures, flood, forged, replayed
from tests.api.webhook_sender import app_with, send

COUNT = 2_000


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = app_with(settings)
    yield app
    app.extensions["database"].close()


def assert_came_to(status: int, figures: Figures) -> None:
    """Check that all were answered so and none had an effect. A busy machine may put a few off with a 503."""
    assert figures.effects == 0
    assert set(figures.statuses) <= {status, 503}
    assert figures.statuses[status] >= 0.98 * COUNT


def test_of_many_forged_webhooks_none_is_accepted(app: Flask, sessions: Sessions) -> None:
    assert_came_to(401, flood(app, sessions, forged(COUNT)))


def test_many_replays_change_nothing(app: Flask, sessions: Sessions) -> None:
    send(app)
    assert_came_to(200, flood(app, sessions, replayed(COUNT)))
