"""`ciosync incident sheet` and `report`: what a person says, what was measured, and what happened."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert

from cio_tasks.fake import FakeCustomerIO, Scenario
from cio_tasks.models import Gate
from cio_tasks.processor import process_due
from cio_tasks.runtime import Runtime
from tests.cli.conftest import CIOSYNC, CommandLine
from tests.cli.test_incident import NOWHERE, assert_private, assert_three_lines, near, past
from tests.eventually import eventually
from tests.factories import Factory
from tests.integration.incidents import LIMITED, Past

__all__ = ["near", "past"]
SHEET = ("incident", "sheet")
REPORT = ("incident", "report")
TEXTS = ("signups arrive", "none do", "9:40, after the deploy", "all, bob@example.com too", "consistent")
ANSWERS = [word for row, text in enumerate(TEXTS, 1) for word in ("--answer", f"J{row}={text}")]
MINUTE = timedelta(minutes=1)


# --- the sheet --------------------------------------------------------------------------------------------------------


@pytest.mark.row("J1", "J2", "J3", "J4", "J5")
def test_note_holds_the_answers_and_what_was_measured(near: CommandLine, past: Past, tmp_path: Path) -> None:
    past.failed(10)
    past.delivered(90)
    past.audited("gate_closed", ago=5 * MINUTE, reason="rate_limit", note="too many")
    past.audited("gate_opened", ago=4 * MINUTE, reason="rate_limit")
    answer = near(*SHEET, *ANSWERS, "-o", "note.md")
    note = (tmp_path / "note.md").read_text(encoding="utf-8")

    assert (answer.code, answer.out) == (0, "P2 High error rate: note.md\n")
    assert "## Expected behaviour (J1)\n\n> signups arrive\n" in note
    assert "## Actual behaviour (J2)\n\n> none do\n" in note
    assert "## Start (J3)\n\n> 9:40, after the deploy\n" in note
    assert "## Extent (J4)\n\n> all, b•••@ex•••.com too\n" in note
    assert "## Pattern (J5)\n\n> consistent\n" in note
    assert "- 10 % of 100 attempts failed in 5 min (limit 5 %)" in note
    assert "- [!] P2.1 Distribution by type: 10 of 100 attempts failed" in note
    assert "gate closed by the replies of Customer.io: rate_limit (too many)" in note
    assert "first failed attempt: server_error, 503" in note
    assert "bob@" not in note
    assert_private(answer)


def test_note_reads_well_where_little_is_known(near: CommandLine) -> None:
    page = near(*SHEET, *ANSWERS).out

    assert "; began 9:40, after the deploy (as told).\n" in page
    assert page.count("- 0 of 0 attempts failed in 5 min, 20 make a rate") == 1
    assert "Next: nothing to do" not in page


def test_note_of_an_outage_says_when_it_began_and_ends_each_sentence_once(near: CommandLine, make: Factory) -> None:
    with make.sessions.begin() as session:
        closed = {"closed_at": func.now() - 5 * MINUTE, "closed_until": func.now() + 5 * MINUTE, "note": "503s."}
        session.execute(insert(Gate).values(reason="outage", **closed))
    page = near(*SHEET, *ANSWERS).out

    assert re.search(r"; began 20[0-9-]+ [0-9:]+ UTC\.\n", page)
    assert re.search(r"P1\.6 Notify: .*\. Next: tell support", page)
    assert ".. " not in page


def test_answer_of_several_lines_cannot_break_the_page(near: CommandLine) -> None:
    answer = near(*SHEET, *ANSWERS[2:], "--answer", "J1=none\n# Incident P1: not ours")

    assert "> none # Incident P1: not ours\n" in answer.out
    assert answer.out.startswith("# Incident none: No incident\n")


def test_note_for_scripts_has_all_parts(near: CommandLine) -> None:
    told = near(*SHEET, *ANSWERS, "--json").json

    assert told["answers"] == dict(zip(("J1", "J2", "J3", "J4", "J5"), told["answers"].values(), strict=True))
    assert (told["answers"]["J5"], told["incident"]["severity"], told["file"]) == ("consistent", "none", None)
    assert told["runbook"] == {"severity": "none", "steps": []}
    assert "ciosync gate show" in told["commands"]


@pytest.mark.row("J1", "J2", "J3", "J4", "J5")
def test_without_a_terminal_the_missing_answers_are_named(near: CommandLine) -> None:
    answer = near(*SHEET, "--answer", "J2=nothing")

    assert answer.code == 2
    assert "add --answer J1=… --answer J3=… --answer J4=… --answer J5=…" in answer.err


@pytest.mark.parametrize("given", ["J6=x", "J1", "J1= ", "expected=x"])
def test_answer_to_no_question_is_refused(cli: CommandLine, given: str) -> None:
    assert cli(*SHEET, "--answer", given).code == 2


def test_note_that_is_there_is_replaced_only_when_told_to(near: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("mine")

    assert near(*SHEET, *ANSWERS, "-o", "note.md").code == 2
    assert near(*SHEET, *ANSWERS, "-o", "note.md", "--dry-run").code == 0
    assert (tmp_path / "note.md").read_text() == "mine"
    assert near(*SHEET, *ANSWERS, "-o", "note.md", "--yes").code == 0
    assert (tmp_path / "note.md").read_text().startswith("# Incident none")


def test_note_is_written_with_the_database_away(near: CommandLine, tmp_path: Path) -> None:
    down = "postgresql://user:SECRETCANARY-pw@127.0.0.1:9/db"
    answer = near(*SHEET, *ANSWERS, "-o", "note.md", DATABASE_URL=down)
    note = (tmp_path / "note.md").read_text(encoding="utf-8")

    assert answer.code == 0
    assert "Not known: the database cannot be reached" in note
    assert "SECRETCANARY" not in note


@contextmanager
def at_a_terminal(near: CommandLine, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a command whose three streams are a terminal, and give the other side of it."""
    ours, theirs = pty.openpty()
    environment = {**near.environment, "TERM": "dumb"}
    with subprocess.Popen(
        [CIOSYNC, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        os.set_blocking(ours, False)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


class Screen:
    """What was written to a terminal so far."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.text = ""

    def read(self) -> str:
        with suppress(OSError):  # nothing to read yet, or never again
            self.text += os.read(self._terminal, 65_536).decode(errors="replace")
        return self.text

    def type(self, prompt: str, text: str) -> None:
        """Wait for a prompt and type."""
        eventually(self.read, lambda shown: prompt in shown)
        os.write(self._terminal, text.encode())


@pytest.mark.row("J1", "J2", "J3", "J4", "J5")
def test_person_at_a_terminal_is_asked_five_questions(near: CommandLine, tmp_path: Path) -> None:
    with at_a_terminal(near, *SHEET, "-o", "note.md") as (process, terminal):
        screen = Screen(terminal)
        for row, text in enumerate(TEXTS, 1):
            screen.type(f"J{row} ", f"{text}\n")
        eventually(screen.read, lambda shown: "written: note.md" in shown)
        assert process.wait(20) == 0
    assert "> 9:40, after the deploy" in (tmp_path / "note.md").read_text(encoding="utf-8")


def test_interrupt_keeps_what_was_answered(near: CommandLine, tmp_path: Path) -> None:
    with at_a_terminal(near, *SHEET, "-o", "note.md") as (process, terminal):
        screen = Screen(terminal)
        screen.type("J1 ", "signups arrive\n")
        screen.type("J2 ", "it's broken\n")
        eventually(screen.read, lambda shown: "J3 " in shown)
        process.send_signal(2)
        shown = eventually(screen.read, lambda shown: "go on with" in shown and "-o note.md" in shown)
        assert process.wait(20) == 130
    assert "ciosync incident sheet --answer 'J1=signups arrive' --answer 'J2=it'" in shown
    assert not (tmp_path / "note.md").exists()


# --- the report -------------------------------------------------------------------------------------------------------


def test_report_tells_what_real_deliveries_did(
    near: CommandLine, runtime: Runtime, make: Factory, fake: FakeCustomerIO
) -> None:
    for _ in range(3):
        make.signup()
    fake.scenario = Scenario(error_rate=1, error_status=400)
    process_due(runtime, limit=10)
    answer = near(*REPORT, "--since", "10m", "--json")
    told = answer.json

    assert answer.code == 0
    assert told["attempts"] == {"total": 3, "failed": 3, "retries": 0, "manualRetries": 0}
    assert told["byType"] == {"other": 3}
    assert [(group["status"], group["count"]) for group in told["groups"]] == [("400", 3)]
    assert told["deadLetters"] == {"made": 3, "byResolution": {"unresolved": 3}}
    assert (told["stepSeconds"], len(told["steps"]), told["steps"][-1]["total"]) == (60, 10, 3)
    assert_private(answer)


def test_report_counts_retries_resolutions_releases_and_webhooks(near: CommandLine, past: Past) -> None:
    past.worker("w1", release="2026-02", ago=30 * MINUTE)
    past.delivered(5, worker="w1", ago=20 * MINUTE)
    past.failed(2, worker="w1", retry=1, ago=20 * MINUTE, **LIMITED)
    past.delivered(50, ago=timedelta(hours=3))
    past.buried(2)
    past.buried(1, resolved_at=func.now(), resolution="manual_retry", resolved_by="cli:ann")
    past.audited("manual_retry", ago=MINUTE, actor="cli:ann")
    past.reported(4, "bounced")
    told = near(*REPORT, "--json").json

    assert told["attempts"] == {"total": 7, "failed": 2, "retries": 2, "manualRetries": 1}
    assert told["byRelease"] == {"2026-02": {"total": 7, "failed": 2}}
    assert told["byPhase"] == {"initial": {"total": 7, "failed": 2}}
    assert told["deadLetters"] == {"made": 3, "byResolution": {"manual_retry": 1, "unresolved": 2}}
    assert told["webhooks"] == {"bounced": 4}
    assert [one["release"] for one in told["releases"]] == ["2026-02"]


def test_report_measures_how_long_the_gate_was_closed(near: CommandLine, past: Past) -> None:
    past.audited("gate_opened", ago=110 * MINUTE, reason="auth")
    past.audited("gate_closed", ago=60 * MINUTE, reason="outage", note="no answer")
    past.audited("gate_opened", ago=50 * MINUTE, reason="outage")
    past.audited("gate_closed", ago=40 * MINUTE, actor="cli:ann", reason="operator", seconds=300, note="pause")
    told = near(*REPORT, "--since", "2h", "--json").json["gate"]

    assert [(one["reason"], round(one["seconds"] / 60), one["byPerson"]) for one in told] == [
        ("auth", 10, False),
        ("outage", 10, False),
        ("operator", 5, True),
    ]


def test_gate_that_was_closed_before_and_still_is_counts_from_the_beginning(near: CommandLine, make: Factory) -> None:
    with make.sessions.begin() as session:
        closed_at = func.now() - timedelta(hours=3)
        session.execute(
            insert(Gate).values(reason="operator", closed_at=closed_at, note="a migration", actor="cli:ann")
        )
    (told,) = near(*REPORT, "--since", "1h", "--json").json["gate"]

    assert (told["openedAt"], told["note"], told["byPerson"]) == (None, "a migration", True)
    assert round(told["seconds"]) == 3600


def test_person_reads_a_picture_of_at_most_sixty_steps(near: CommandLine, past: Path, make: Factory) -> None:
    answer = near(*REPORT, "--since", "7d")

    assert answer.code == 0
    line = next(line for line in answer.out.splitlines() if line.startswith("attempts"))
    assert len(line.split()[1]) == 28
    assert line.endswith("6 h each")
    assert "dead letters\n  none" in answer.out


@pytest.mark.parametrize("since", ["2x", "tomorrow", "0h", "2999-01-01", "99999w", "-1h"])
def test_time_that_makes_no_sense_is_refused(near: CommandLine, since: str) -> None:
    assert near(*REPORT, "--since", since).code == 2


def test_time_may_be_written_out(near: CommandLine) -> None:
    told = near(*REPORT, "--since", "2026-01-31T09:30:00+01:00", "--json").json

    assert told["since"] == "2026-01-31T08:30:00Z"


def test_report_goes_to_a_file_that_is_not_there(near: CommandLine, tmp_path: Path) -> None:
    assert near(*REPORT, "-o", "report.txt").code == 0
    assert "attempts" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert near(*REPORT, "-o", "report.txt").code == 2
    assert near(*REPORT, "-o", "no/such/folder.txt").code == 2


def test_report_without_the_database_says_try_again(near: CommandLine) -> None:
    down = {**near.environment, "DATABASE_URL": "postgresql://user:SECRETCANARY-pw@127.0.0.1:9/db"}
    answer = CommandLine(down).process(*REPORT)

    assert answer.code == 6
    assert_three_lines(answer)
    assert_private(answer)
    assert NOWHERE not in answer.out
