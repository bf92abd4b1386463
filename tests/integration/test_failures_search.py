from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cio_tasks.db import make_engine, make_sessions
from cio_tasks.failures import FailureFilter, count_failures, list_failures
from tests.conftest import TEMPLATE, Server, copied_database
from tests.factories import Factory
from tests.integration.buried import bury

PEOPLE = [
    ("Ada", "Lovelace", "ada@example.com"),
    ("Grace", "Hopper", "grace_hopper@example.com"),
    ("Gracie", "O'Hop%per", "50%off@example.com"),
    ("Back\\slash", "Under_score", "b@example.com"),
    ("Éloïse", "MÜLLER-Ñuñez", "eloise@example.com"),
    ("İpek", "Straße", "ipek@example.com"),
    ("ΣΊΣΥΦΟΣ", "Οδυσσεύς", "sisyphus@example.com"),
    ("Łukasz", "Żółć", "lukasz@example.com"),
    ("太郎", "山田", "taro@example.com"),
    ("Zoë🎲", "van den Berg", "zoe@example.com"),
]
LETTERS = sorted({letter for person in PEOPLE for name in person for letter in name + name.swapcase()})
PARTS = st.sampled_from([" ".join(person) for person in PEOPLE]).flatmap(
    lambda whole: st.tuples(st.just(whole), st.integers(0, len(whole)), st.integers(1, 6), st.sampled_from(["", "up"]))
)


def part(whole: str, start: int, length: int, case: str) -> str:
    cut = whole[start : start + length]
    return cut.upper() if case and len(cut.upper()) == len(cut) else cut


TERMS = st.one_of(
    PARTS.map(lambda chosen: part(*chosen)),
    st.text(st.sampled_from([*LETTERS, "%", "_", "\\", "\0", "\ud800"]), max_size=4),
    st.text(st.characters(codec=None), max_size=6),
)


@pytest.fixture(scope="module")
def people(postgres: Server) -> Iterator[Session]:
    """A database where every one of `PEOPLE` has a failure."""
    with copied_database(postgres.url, TEMPLATE) as url:
        engine = make_engine(url)
        make = Factory(make_sessions(engine))
        for first_name, last_name, email in PEOPLE:
            bury(make, make.signup(email, first_name=first_name, last_name=last_name))
        with make.sessions() as session:
            yield session
        engine.dispose()


def found(session: Session, term: str) -> set[str]:
    wanted = FailureFilter(search=term)
    emails = {failure.customer.email for failure in list_failures(session, wanted, limit=100)}
    assert count_failures(session, wanted) == len(emails)
    return emails


@pytest.mark.row("C4")
@pytest.mark.parametrize(
    ("term", "emails"),
    [
        ("LOVELACE", {"ada@example.com"}),
        ("ada love", {"ada@example.com"}),
        ("lace ADA@", {"ada@example.com"}),
        ("grac", {"grace_hopper@example.com", "50%off@example.com"}),
        ("ÉLOÏSE müller", {"eloise@example.com"}),
        ("żÓŁĆ", {"lukasz@example.com"}),
        ("田", {"taro@example.com"}),
        ("🎲", {"zoe@example.com"}),
        ("nobody", set()),
        ("@example.com", {email for _, _, email in PEOPLE}),
        ("", {email for _, _, email in PEOPLE}),
    ],
)
def test_a_part_of_name_or_email_in_any_case_finds_the_customer(people: Session, term: str, emails: set[str]) -> None:
    assert found(people, term) == emails


@pytest.mark.row("C4")
@pytest.mark.parametrize(
    ("term", "emails"),
    [
        ("%", {"50%off@example.com"}),
        ("_", {"grace_hopper@example.com", "b@example.com"}),
        ("\\", {"b@example.com"}),
        ("gr%per", set()),
        ("e_hop", {"grace_hopper@example.com"}),
        ("k\\s", {"b@example.com"}),
        ("o'hop%", {"50%off@example.com"}),
        ("\0", set()),
        ("ada\0", set()),
        ("\ud800", set()),
    ],
)
def test_every_character_of_a_search_means_itself(people: Session, term: str, emails: set[str]) -> None:
    assert found(people, term) == emails


def lowered(session: Session, value: str) -> str:
    return str(session.scalar(select(func.lower(value))))


def holds_text(term: str) -> bool:
    return "\0" not in term and not any("\ud800" <= letter <= "\udfff" for letter in term)


@pytest.mark.row("C4")
@pytest.mark.parametrize("scans", ["on", "off"], ids=["by_scan", "by_index"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(term=TERMS)
@example(term="İ")
@example(term="ς")
@example(term="ß")
@example(term="\\%")
def test_a_search_finds_what_a_filter_in_python_finds(people: Session, scans: str, term: str) -> None:
    """Python looks for the term by itself; only which letters belong together is the database's to say."""
    people.execute(text("SELECT set_config('enable_seqscan', :scans, false)"), {"scans": scans})
    expected = set()
    if holds_text(term):
        names = {email: lowered(people, f"{first} {last} {email}") for first, last, email in PEOPLE}
        expected = {email for email, name in names.items() if lowered(people, term) in name}

    assert found(people, term) == expected


@pytest.mark.row("C4")
@given(letter=st.characters(codec="utf-8", categories=["Lu"]))
def test_the_database_knows_upper_and_lower_case_as_python_does(people: Session, letter: str) -> None:
    """All capital letters but the one whose small form is two characters to Python."""
    known = people.scalar(select(func.lower(letter)))

    assert known in {letter.lower(), letter} or letter == "İ"
