import json
import signal

from tests.cli.conftest import CommandLine
from tests.contract.app import App


def test_serve_begins_with_the_ready_people_and_takes_the_key_of_the_environment() -> None:
    cli = CommandLine({"CUSTOMERIO_APP_API_KEY": "mine"})
    with cli.running("fake", "serve", "--port", "0", "--json") as process:
        assert process.stdout is not None
        app = App(json.loads(process.stdout.readline())["url"], "mine")
        assert app.get("customers/cast-bounced/attributes")["customer"]["id"] == "cast-bounced"
        assert app.call("GET", "/api/v2/status.json").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_serve_without_the_cast_is_empty() -> None:
    with CommandLine({}).running("fake", "serve", "--port", "0", "--no-cast", "--json") as process:
        assert process.stdout is not None
        app = App(json.loads(process.stdout.readline())["url"])
        assert app.get("campaigns") == {"campaigns": []}
        process.terminate()
        assert process.wait(10) == 143
