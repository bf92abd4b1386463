"""Values given on the command line as `name=value`, or as `name:=JSON` where the kind of value must be said."""

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

import click

PLAIN_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,14})?")
"""What is read as a number. A leading zero or plus, an exponent and sixteen digits make an id, a phone or a card."""
WORDS: Final = {"true": True, "false": False, "null": None}
HELP: Final = "A value: a number, true, false, null or else text; name:=JSON for anything else. Repeatable."


def assignments(*flags: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option, repeatable, that becomes a dictionary of values."""
    return click.option(*flags, multiple=True, metavar="NAME=VALUE", callback=_read_all, help=HELP)


def _read_all(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, text in enumerate(given, 1):
        name, value = _read(number, text)
        if name in values:
            raise click.BadParameter(f"{name!r} is given twice")
        values[name] = value
    return values


def _read(number: int, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":").strip()
    if not equals or not name:
        raise click.BadParameter(f"number {number}, {text!r}, is not name=value")
    _check_encoding(name, text)
    return name, _read_json(name, value) if is_json else _read_plain(value)


def _check_encoding(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{name.encode(errors='replace').decode()!r} is not text in UTF-8") from None


def _read_plain(text: str) -> Any:
    if text in WORDS:
        return WORDS[text]
    match = PLAIN_NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match[2] else int(text)


def _read_json(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise click.BadParameter(f"the value of {name!r} after := is not JSON") from None


def _refuse(_constant: str) -> NoReturn:
    raise ValueError
