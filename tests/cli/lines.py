"""Lines of a file of signups, as tests need them."""

from typing import Any

SLIP = {"betAmount": 25.5, "teamBetOn": "Rovers", "odds": "+150", "confidence": 0.9}
HEADER = "externalId,email,firstName,lastName,phone,operatorId,submittedAt,betAmount,teamBetOn,odds,confidence"


def line(number: int = 1, *, email: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a line that keeps the rules, with other fields where a test wants them."""
    customer = {"email": email or f"ada{number}@example.com", "firstName": "Ada", "lastName": "Lovelace"}
    return {"externalId": f"ext-{number}", "customer": customer, "operatorId": "op-1", **fields}


def row(number: int = 1, **fields: str) -> str:
    """Return a CSV line that keeps the rules, under `HEADER`."""
    cells = {"externalId": f"ext-{number}", "email": f"ada{number}@example.com", "firstName": "Ada"}
    cells |= {"lastName": "Lovelace", "operatorId": "op-1", **fields}
    return ",".join(cells.get(name, "") for name in HEADER.split(","))
