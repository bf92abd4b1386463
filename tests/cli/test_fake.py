import json
import signal
import socket
from pathlib import Path

import requests

from tests.cli.conftest import CommandLine


def test_serve_prints_its_address_and_stops_on_ctrl_c(cli: CommandLine) -> None:
    with cli.running("fake", "serve", "--port", "0", "--json", "--ledger", "ledger.jsonl") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert requests.get(f"{url}/_fake/health", timeout=5).status_code == 200
        assert requests.get(f"{url}/api/v1/accounts/region", auth=("site", "key"), timeout=5).json()["region"] == "us"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert len(Path("ledger.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_serve_takes_the_credentials_of_the_environment() -> None:
    cli = CommandLine({"CUSTOMERIO_SITE_ID": "mine", "CUSTOMERIO_API_KEY": "secret"})
    with cli.running("fake", "serve", "--port", "0", "--region", "eu") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = requests.get(f"{url}/api/v1/accounts/region", auth=("mine", "secret"), timeout=5)
        assert answer.json()["region"] == "eu"
        process.terminate()
        assert process.wait(10) == 143


def test_a_scenario_with_a_field_that_does_not_exist_is_refused(cli: CommandLine) -> None:
    Path("bad.json").write_text('{"latency": 1}', encoding="utf-8")
    answer = cli("fake", "serve", "--scenario", "bad.json")
    assert answer.code == 2
    assert "latency" in answer.err


def test_a_scenario_decides_the_weather(cli: CommandLine) -> None:
    Path("outage.json").write_text('{"outage": "503"}', encoding="utf-8")
    with cli.running("fake", "serve", "--port", "0", "--scenario", "outage.json") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/api/v1/accounts/region", auth=("site", "key"), timeout=5).status_code == 503


def test_a_port_that_is_taken_is_told(cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = cli("fake", "serve", "--port", str(taken.getsockname()[1]))
    assert answer.code == 6
    assert "address already in use" in answer.err.lower()
