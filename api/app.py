"""The wiring of the API: which parts there are, and in which order a request meets them."""

from flask import Flask

from api.auth import require_tokens
from api.bodies import BODY_BYTES
from api.envelope import wrap_answers
from api.errors import answer_errors
from api.health import watch_health
from api.openapi import documents
from api.sessions import open_database
from api.signups import signups
from cio_tasks import wake
from cio_tasks.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the API for `settings`, by default the environment's. No connection is made yet.

    Raises:
        ConfigurationError: when the settings are at fault, or lack the database.
    """
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    app.config.update(DEBUG=False, MAX_CONTENT_LENGTH=BODY_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    wake.configure(settings)
    wrap_answers(app)
    require_tokens(app, settings)
    answer_errors(app)
    database = open_database(app, settings)
    watch_health(app, database, settings)
    app.register_blueprint(signups)
    app.register_blueprint(documents)
    return app
