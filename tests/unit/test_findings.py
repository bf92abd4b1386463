import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.findings import Finding, Severity, reaches, worst_first

severities = st.lists(st.sampled_from(Severity))


def finding(severity: Severity, code: str = "no_email") -> Finding:
    return Finding(severity, code, "the person has no e-mail address", "identify the person with one")


def test_finding_is_an_issue_for_scripts() -> None:
    assert finding(Severity.HIGH).as_issue == {
        "severity": "high",
        "code": "no_email",
        "message": "the person has no e-mail address",
        "next": "identify the person with one",
    }


@given(severities)
def test_worst_comes_first(given_severities: list[Severity]) -> None:
    ranks = [one.severity.rank for one in worst_first(map(finding, given_severities))]

    assert ranks == sorted(ranks)
    assert len(ranks) == len(given_severities)


def test_findings_of_one_severity_stay_in_order() -> None:
    found = [finding(Severity.LOW, "a"), finding(Severity.HIGH, "b"), finding(Severity.LOW, "c")]

    assert [one.code for one in worst_first(found)] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("found", "asked", "answer"),
    [
        ([Severity.MEDIUM], Severity.LOW, True),
        ([Severity.MEDIUM], Severity.MEDIUM, True),
        ([Severity.MEDIUM], Severity.HIGH, False),
        ([Severity.LOW, Severity.HIGH], Severity.HIGH, True),
        ([], Severity.LOW, False),
    ],
)
def test_severity_is_reached_by_itself_and_by_what_is_worse(
    found: list[Severity], asked: Severity, answer: bool
) -> None:
    assert reaches(map(finding, found), asked) is answer
