"""The wiring of the API: which parts there are, and in which order a request meets them."""

from flask import Flask

from api.auth import require_tokens
from api.bodies import BODY_BYTES
from api.diagnostics import diagnostics
from api.envelope import RequestIds, wrap_answers
from api.errors import answer_errors
from api.gate import gate
from api.health import watch_health
from api.limits import limit_requests
from api.live import serve_live
from api.metrics import show_metrics
from api.openapi import documents
from api.patience import Patience
from api.sessions import open_database
from api.signups import signups
from api.sync_jobs import sync_jobs
from api.webhooks import receive_webhooks
from cio_tasks import failpoints, wake
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
    failpoints.arm(settings.failpoints)
    wake.configure(settings)
    wrap_answers(app, settings)
    limit_requests(app, settings)
    require_tokens(app, settings)
    answer_errors(app)
    database = open_database(app, settings)
    watch_health(app, database, settings)
    app.register_blueprint(signups)
    app.register_blueprint(sync_jobs)
    app.register_blueprint(gate)
    app.register_blueprint(diagnostics)
    receive_webhooks(app, database, settings)
    show_metrics(app, database, settings)
    app.register_blueprint(documents)
    serve_live(app, settings)
    app.wsgi_app = RequestIds(Patience(app.wsgi_app))  # type: ignore[method-assign]
    return app
