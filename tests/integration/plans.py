"""How the database would carry out what a function asks it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

Node = dict[str, Any]


@contextmanager
def recorded(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Give the statements that the engine executes while the body runs, with their values."""
    statements: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    event.listen(engine, "before_cursor_execute", record)
    yield statements
    event.remove(engine, "before_cursor_execute", record)


def plans_of(engine: Engine, ask: Callable[[Session], Any]) -> list[Node]:
    """Return the plans of the statements that `ask` executes."""
    with Session(engine) as session, recorded(engine) as statements:
        ask(session)
    with engine.connect() as connection:
        asked = [connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values) for sql, values in statements]
        return [answer.scalar_one()[0]["Plan"] for answer in asked]


def nodes(plan: Node) -> Iterator[Node]:
    """Yield every step of a plan, the top one first."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def indexes(plan: Node) -> set[str]:
    """Return the indexes that a plan reads."""
    return {str(node["Index Name"]) for node in nodes(plan) if "Index Name" in node}


def scanned(plan: Node) -> set[str]:
    """Return the tables that a plan reads from end to end."""
    return {str(node["Relation Name"]) for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def beneath(plan: Node, kind: str) -> list[str]:
    """Return the kinds of steps beneath the first step of this kind."""
    top = next(node for node in nodes(plan) if node["Node Type"] == kind)
    return [str(node["Node Type"]) for node in nodes(top)]
