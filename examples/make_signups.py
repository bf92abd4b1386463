# ruff: noqa: INP001, RUF001 - a script beside its data, in the letters of many languages
"""Makes `signups.jsonl` and `README.md`, the same ones every time: python examples/make_signups.py"""

import json
import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, TypeVar

from people import LATIN, LONG_NAMES, OTHER_SCRIPTS, PHONES, TEAMS, WRITTEN_ADDRESSES

HERE: Final = Path(__file__).parent
LINES: Final = 1_000
SEED: Final = 2_025
DOMAINS: Final = ("example.com", "example.org", "example.net")
ODDS: Final = ("+150", "-110", "+2500", "2.50", "1.01", "5/2", "Evens")
MINUTES_FROM_UTC: Final = (0, 0, 60, 120, -300, -480, 330, 540)
FIRST_DAY: Final = datetime(2025, 8, 1, tzinfo=UTC)
SEASON: Final = timedelta(days=100)
NOT_DECOMPOSED: Final = str.maketrans({"ß": "ss", "ł": "l", "þ": "th", "đ": "d", "ı": "i"})

PERSONAS: Final = {
    "429x1": 5,
    "429x2": 4,
    "500x1": 5,
    "500x2": 4,
    "500x3": 3,
    "503x2": 5,
    "resetx1": 4,
    "resetafter": 3,
    "timeout": 2,
    "slow": 2,
    "badattr": 6,
    "400": 2,
    "403": 1,
    "500x99": 2,
}
"""Tags that make the stand-in Customer.io fail (`cio_tasks.fake.personas`), and how many people have each."""

CUT: Final = "cut"
"""Marks a line that is to end too early."""

Line = dict[str, Any]
T = TypeVar("T")


class Draw:
    """Draws things. Only `random()` is used, whose numbers every Python repeats."""

    def __init__(self) -> None:
        self._random = random.Random(SEED).random  # noqa: S311 - the file must repeat, not surprise

    def below(self, count: int) -> int:
        """Draw a number from 0 to `count` - 1."""
        return int(self._random() * count)

    def one(self, choices: Sequence[T]) -> T:
        """Draw one of several things."""
        return choices[self.below(len(choices))]

    def happens(self, share: float) -> bool:
        """Draw whether something happens that does in this share of cases."""
        return self._random() < share


# --- a line -----------------------------------------------------------------------------------------------------------


def signup(draw: Draw, number: int) -> Line:
    """Draw a signup that keeps all rules."""
    line: Line = {
        "externalId": f"sample-{number:04d}",
        "customer": customer(draw, number),
        "operatorId": f"{draw.one(['shop', 'kiosk', 'web', 'app'])}-{1 + draw.below(40):03d}",
    }
    if draw.happens(0.7):
        line["submittedAt"] = moment(draw)
    if draw.happens(0.61):
        line["extraction"] = extraction(draw)
    return line


def customer(draw: Draw, number: int) -> Line:
    """Draw a person with an address of their own."""
    if draw.happens(0.45):
        first, last, local = draw.one(OTHER_SCRIPTS)
    else:
        given, families = draw.one(LATIN)
        first, last = draw.one(given.split()), draw.one(families.split())
        local = ascii_of(f"{first}.{last}")
    tag = draw.one(["+bets", "+news", "+wm2026", "+a.b-c"]) if draw.happens(0.12) else ""
    person = {"email": f"{local}{number}{tag}@{draw.one(DOMAINS)}", "firstName": first, "lastName": last}
    if draw.happens(0.5):
        person["phone"] = draw.one(PHONES).format(draw.below(100))
    return person


def extraction(draw: Draw) -> Line:
    """Draw a bet slip."""
    return {
        "betAmount": draw.one([5, 10, 20, 50, 100, round(1 + draw.below(50_000) / 100, 2)]),
        "teamBetOn": draw.one(TEAMS),
        "odds": draw.one(ODDS),
        "confidence": round(0.5 + draw.below(5_001) / 10_000, 4),
    }


def moment(draw: Draw) -> str:
    """Draw a time of the season, written as somewhere in the world."""
    zone = timezone(timedelta(minutes=draw.one(MINUTES_FROM_UTC)))
    at = FIRST_DAY + timedelta(seconds=draw.below(int(SEASON.total_seconds())))
    return at.astimezone(zone).isoformat().replace("+00:00", "Z")


def ascii_of(name: str) -> str:
    """Return a name as an address spells it."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(NOT_DECOMPOSED))
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalnum() or letter in ".-"))


# --- what is special about some lines ---------------------------------------------------------------------------------


def tagged(tag: str) -> Callable[[Line], None]:
    """Put a persona's tag into the address."""

    def change(line: Line) -> None:
        local, _, domain = line["customer"]["email"].partition("@")
        line["customer"]["email"] = f"{local.partition('+')[0]}+{tag}@{domain}"

    return change


def with_customer(**fields: str) -> Callable[[Line], None]:
    """Set fields of the customer."""
    return lambda line: line["customer"].update(fields)


def with_extraction(**fields: Any) -> Callable[[Line], None]:
    """Set fields of the bet slip."""
    return lambda line: line.update(extraction=extraction(Draw()) | fields)


def specials() -> Iterator[tuple[str, Callable[[Line], None]]]:
    """Yield the kind of each special line, and what makes it so."""
    for tag, count in PERSONAS.items():
        yield from ((f"persona +{tag}", tagged(tag)) for _ in range(count))
    for text in ("Ж" * 501, "名" * 334, "🐺" * 251, "x" * 1_001, "é" * 2_000):
        yield "a name over Customer.io's 1,000 bytes", with_customer(lastName=text)
    for first, last in LONG_NAMES:
        yield "a long name that fits", with_customer(firstName=first, lastName=last)
    yield "a long name that fits", with_customer(lastName="名" * 333)
    for local in WRITTEN_ADDRESSES:
        yield "an address beyond ASCII", with_customer(email=f"{local}@example.com")
    yield "values at the edge", with_extraction(betAmount=9_999_999_999.99, confidence=1, odds="x" * 20)
    yield "values at the edge", with_extraction(betAmount=0.01, confidence=0, teamBetOn="🐺" * 200)
    yield "invalid: no e-mail address", with_customer(email="nobody.at.example.com")
    yield "invalid: no last name", lambda line: line["customer"].pop("lastName")
    yield "invalid: an amount of 0", with_extraction(betAmount=0)
    yield "invalid: a confidence of 2", with_extraction(confidence=2)
    yield "invalid: NaN", with_extraction(betAmount=float("nan"))
    yield "invalid: letters for a phone number", with_customer(phone="call me maybe")
    yield "invalid: a NUL in a name", with_customer(firstName="Nul\0")
    yield "invalid: cut off", lambda line: line.update({CUT: True})


# --- the files --------------------------------------------------------------------------------------------------------


def make() -> tuple[str, str]:
    """Return the text of `signups.jsonl` and of `README.md`."""
    draw = Draw()
    lines = [signup(draw, number) for number in range(1, LINES + 1)]
    special = list(specials())
    plain = set(range(LINES))
    # Spread over the file, and out of order, so that every stretch of it has something of each sort.
    for index, (_, change) in enumerate(special):
        place = (index * 37 % len(special)) * LINES // len(special) + 6
        change(lines[place])
        plain.discard(place)
    for early, late in zip(sorted(plain)[:320:4], sorted(plain)[600::4], strict=False):
        lines[late]["customer"] = {**lines[early]["customer"], "email": lines[early]["customer"]["email"].swapcase()}
    return "".join(map(written, lines)), about(lines, Counter(kind for kind, _ in special))


def written(line: Line) -> str:
    """Return a line as JSON."""
    text = json.dumps({name: value for name, value in line.items() if name != CUT}, ensure_ascii=False)
    return (text[:60] if CUT in line else text) + "\n"


def about(lines: Sequence[Line], kinds: Counter[str]) -> str:
    """Return the text of `README.md`."""
    invalid = sum(count for kind, count in kinds.items() if kind.startswith("invalid"))
    addresses = Counter(line["customer"]["email"].lower() for line in lines)
    counts = {
        "lines": len(lines),
        "lines that keep the rules": len(lines) - invalid,
        "lines with a bet slip": sum("extraction" in line and CUT not in line for line in lines),
        "customers with two signups": sum(count > 1 for count in addresses.values()),
        "names beyond the Latin script": sum(not is_latin(line["customer"]["firstName"]) for line in lines),
        **kinds,
    }
    rows = "".join(f"| {kind} | {count} |\n" for kind, count in counts.items())
    return README.format(rows=rows)


def is_latin(name: str) -> bool:
    """Tell whether a name begins with a letter of the Latin script."""
    return unicodedata.name(name[0]).startswith("LATIN")


README: Final = """\
# Sample signups

`signups.jsonl` holds 1,000 invented signups for `make demo` and for trying things out:

```console
$ ciosync signups submit examples/signups.jsonl
```

Nobody in it exists: every address is under `example.com`, `example.org` or `example.net`, and the phone numbers are set
aside for fiction. A `+tag` such as `+429x2` in an address makes the stand-in Customer.io (`ciosync fake serve`) fail for
that person: here with 429, twice. The real one takes the tag for part of the address. `+500x99` outlasts all retries;
`+400`, `+403` and `+badattr` fail for good, as do names over 1,000 bytes.

`python examples/make_signups.py` makes the file and this page anew, and a test holds both to it.

| kind | count |
|---|--:|
{rows}"""


def main() -> None:
    """Write both files."""
    signups, readme = make()
    (HERE / "signups.jsonl").write_text(signups, encoding="utf-8", newline="\n")
    (HERE / "README.md").write_text(readme, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
