import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_tasks.redaction import SHOWN_TEXT, mask_email, mask_secret, redact

CANARY = "SECRETCANARY-0123456789"
ADDRESS = re.compile(r"[a-z]{2,}@[a-z]")
tricky_text = st.text("ada@b.c/:'\"•… \n", max_size=60)
"""Few letters, so that addresses, what delimits them and what stands for them meet often."""

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789._%+-", min_size=2, max_size=20)
domains = st.from_regex(r"[a-z]{2,10}(\.[a-z]{2,10}){1,2}", fullmatch=True)
addresses = st.builds("{}@{}".format, names, domains)


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ada@example.com", "a•••@ex•••.com"),
        ("ada.lovelace+bets@mail.example.co.uk", "a•••@ma•••.uk"),
        ("a@b.io", "a•••@b•••.io"),
        ("ada@localhost", "a•••@lo•••"),
        ("ünal@müller.de", "ü•••@mü•••.de"),
        ("no address", "•••@no•••"),
        ("", "•••@•••"),
    ],
)
def test_masked_address_keeps_first_letters_and_top_domain(email: str, shown: str) -> None:
    assert mask_email(email) == shown


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("0123456789abcdef", "0123…ef (16 chars)"),
        ("0123456789abcde", "•••• (15 chars)"),
        ("short", "•••• (5 chars)"),
        ("", "•••• (0 chars)"),
    ],
)
def test_masked_secret_shows_its_ends_unless_it_is_short(secret: str, shown: str) -> None:
    assert mask_secret(secret) == shown


@given(before=st.sampled_from(["", "to ", "<", "mailto:", "user=", "•", '{"email":"']), address=addresses)
def test_no_address_survives(before: str, address: str) -> None:
    shown = redact(f"{before}{address}, refused")

    assert address not in shown
    assert f"{address.partition('@')[0]}@" not in shown


@given(tricky_text)
def test_no_address_survives_in_odd_surroundings(text: str) -> None:
    assert not ADDRESS.search(redact(text))


@given(tricky_text | st.text(), st.sampled_from([10, 40, SHOWN_TEXT]))
def test_redacting_twice_changes_nothing_more(text: str, limit: int) -> None:
    once = redact(text, CANARY, limit=limit)

    assert redact(once, CANARY, limit=limit) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ada@example.com and bob@example.org", "a•••@ex•••.com and b•••@ex•••.org"),
        ("value for 'ada@example.com' is bad", "value for 'a•••@ex•••.com' is bad"),
        ("(ada@example.com)", "(a•••@ex•••.com)"),
        ("•ada@example.com •bob@example.org", "•a•••@ex•••.com •b•••@ex•••.org"),
        ("nothing to hide: 5 > 4", "nothing to hide: 5 > 4"),
    ],
)
def test_addresses_are_masked_in_place(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_apostrophe_does_not_end_a_name() -> None:
    assert "O'" not in redact("O'Brien-Smith@example.com")


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://ciosync:{CANARY}@db:5432/ciosync",
        f"redis://:{CANARY}@cache/0",
        f"https://user:{CANARY}@hooks.example.com/alert",
        f"postgresql://ciosync:p@ss{CANARY}@db/ciosync",
        f"Authorization: Basic {CANARY}",
        f"authorization: bearer {CANARY}",
        f"Authorization: Bearer Bearer {CANARY}",
    ],
)
def test_credentials_are_seen_by_their_surroundings(text: str) -> None:
    assert CANARY not in redact(text)


@given(before=st.text(), after=st.text())
def test_given_secret_never_survives(before: str, after: str) -> None:
    assert CANARY not in redact(before + CANARY + after, "other", CANARY, limit=10_000)


@pytest.mark.parametrize("secrets", [("SECRET", CANARY), (CANARY, "SECRET")])
def test_secret_that_contains_another_is_hidden_as_a_whole(secrets: tuple[str, str]) -> None:
    assert redact(f"key {CANARY}!", *secrets) == "key ••••!"


def test_empty_secret_hides_nothing() -> None:
    assert redact("all of this", "") == "all of this"


@given(st.text())
def test_shown_text_is_one_line_without_control_characters(text: str) -> None:
    shown = redact(text)

    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\tb", "a\x1b\x07b", "a\u2028b", "a\x85b", "\n a\x00b \n"])
def test_control_characters_become_one_space(text: str) -> None:
    assert re.fullmatch(r"a {1,2}b", redact(text))


@given(st.text(st.characters(), max_size=20))
def test_shown_text_can_be_stored(text: str) -> None:
    """A lone surrogate, which JSON may hold, is refused by Postgres and by every stream."""
    redact(f"{text}\ud800{text}").encode()


@given(text=st.text(min_size=1, max_size=80), limit=st.integers(1, 60))
def test_shown_text_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(redact(text, limit=limit)) <= limit


@pytest.mark.parametrize(("length", "shown"), [(500, "x" * 500), (501, "x" * 499 + "…")])
def test_cut_text_ends_with_an_ellipsis(length: int, shown: str) -> None:
    assert redact("x" * length) == shown


def test_address_is_masked_before_the_text_is_cut() -> None:
    assert redact("x" * 8 + " ada@example.com", limit=14) == "xxxxxxxx a•••…"
