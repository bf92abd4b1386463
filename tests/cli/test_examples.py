"""The sample signups: what the generator makes is what is there, and it is what it says."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cio_tasks.customerio.limits import ATTRIBUTE_VALUE_BYTES
from cio_tasks.fake.personas import personas_of
from tests.cli.conftest import Answer, CommandLine
from tests.rules.tree import ROOT

EXAMPLES = ROOT / "examples"
SIGNUPS = EXAMPLES / "signups.jsonl"


@pytest.fixture
def checked(cli: CommandLine) -> Answer:
    return cli("signups", "submit", str(SIGNUPS), "--dry-run", "--json")


def good_lines() -> list[dict[str, dict[str, str]]]:
    """Return the lines that can be read; what is wrong with some of them does not matter here."""
    readable = [text for text in SIGNUPS.read_text(encoding="utf-8").splitlines() if text.endswith("}")]
    return [json.loads(text) for text in readable]


def test_the_generator_makes_just_these_files(tmp_path: Path) -> None:
    for script in EXAMPLES.glob("*.py"):
        (tmp_path / script.name).write_bytes(script.read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make_signups.py")], check=True)
    for name in ("signups.jsonl", "README.md"):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), "run: python examples/make_signups.py"


def test_of_a_thousand_lines_eight_are_invalid(checked: Answer) -> None:
    assert (checked.code, checked.json["lines"], checked.json["invalid"]) == (1, 1_000, 8)
    assert len({error["message"] for error in checked.json["errors"]}) == 8


def test_nobody_in_it_exists() -> None:
    domains = {line["customer"]["email"].lower().partition("@")[2] for line in good_lines()}
    assert domains - {""} == {"example.com", "example.net", "example.org"}


def test_the_page_counts_what_is_there() -> None:
    page = dict(
        re.findall(r"^\| (.+?) \| (\d+) \|$", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    found = Counter(
        f"persona +{line['customer']['email'].partition('+')[2].partition('@')[0]}"
        for line in good_lines()
        if personas_of(line["customer"]["email"])
    )
    assert found == {kind: int(count) for kind, count in page.items() if kind.startswith("persona")}
    assert int(page["lines with a bet slip"]) == sum("extraction" in line for line in good_lines())


def test_timeouts_cost_ten_seconds_each_and_are_few() -> None:
    faults = [persona.fault for line in good_lines() for persona in personas_of(line["customer"]["email"])]
    assert faults.count("timeout") <= 2


def test_five_values_exceed_customer_ios_limit() -> None:
    texts = [text for line in good_lines() for text in line["customer"].values()]
    assert sum(len(text.encode()) > ATTRIBUTE_VALUE_BYTES for text in texts) == 5
