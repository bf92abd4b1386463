"""The e-mail provider's lists of suppressed addresses, and the workspaces: the rest of the App API."""

from typing import cast, get_args

from cio_tasks.fake.account import ENVIRONMENT_ID
from cio_tasks.fake.app_asks import Ask, Refused, Routes
from cio_tasks.fake.operations import JsonObject
from cio_tasks.fake.workspace import Suppression, SuppressionList

CATEGORIES = {"bounces": "bounces", "spam_reports": "spam", "blocks": "blocks", "invalid_emails": "invalid_emails"}
"""How the lists are called in an answer; only the first two are documented (source: AppOAS)."""
MANUALLY = "Uploaded manually via api.customer.io"


def search(ask: Ask) -> JsonObject | None:
    """Answer `GET /v1/esp/search_suppression/{email}`: always 200; nobody knows how a clean address looks."""
    address = ask.parameter("email").lower()
    for name, addresses in ask.workspace.suppressed.items():
        if address in addresses:
            return {"category": CATEGORIES[name], "suppressions": [_shown(addresses[address])]}
    forms: dict[str, JsonObject] = {
        "empty_list": {"category": "", "suppressions": []},
        "missing": {"category": ""},
        "empty_object": {},
        "null": {"category": None, "suppressions": None},
    }
    return forms[ask.scenario.app.clean_address]


def list_suppressed(ask: Ask) -> JsonObject:
    """Answer `GET /v1/esp/suppression/{type}`: by `limit` and `offset`, without `next` (source: AppOAS)."""
    name = _list(ask)
    offset, limit = ask.number("offset", 0) or 0, ask.number("limit", 100, most=1000) or 100
    addresses = list(ask.workspace.suppressed.get(name, {}).values())
    part = addresses[offset : offset + limit]
    return {"category": CATEGORIES[name], "suppressions": [_shown(one) for one in part]}


def suppress(ask: Ask) -> JsonObject:
    """Answer `POST /v1/esp/suppression/{type}/{email}`: 200 with an empty object."""
    addresses = ask.workspace.suppressed.setdefault(_list(ask), {})
    email = ask.parameter("email")
    addresses.setdefault(email.lower(), Suppression(email, int(ask.call.at), MANUALLY))
    return {}


def unsuppress(ask: Ask) -> None:
    """Answer `DELETE /v1/esp/suppression/{type}/{email}`: 204."""
    ask.workspace.suppressed.get(_list(ask), {}).pop(ask.parameter("email").lower(), None)


def list_workspaces(ask: Ask) -> JsonObject:
    """Answer `GET /v1/workspaces`, which a key can always ask (source: AppOAS)."""
    sent = sum("sent" in one.metrics for one in ask.workspace.messages)
    counts = {"messages_sent": sent, "billable_messages_sent": sent, "people": ask.people.count()}
    return {"workspaces": [{"id": ENVIRONMENT_ID, "name": "Stand-in", **counts, "object_types": 0, "objects": 0}]}


ROUTES: Routes = {
    ("GET", "/v1/esp/search_suppression/{email}"): search,
    ("GET", "/v1/esp/suppression/{list}"): list_suppressed,
    ("POST", "/v1/esp/suppression/{list}/{email}"): suppress,
    ("DELETE", "/v1/esp/suppression/{list}/{email}"): unsuppress,
    ("GET", "/v1/workspaces"): list_workspaces,
}


def _list(ask: Ask) -> SuppressionList:
    name = ask.parameter("list")
    if name not in get_args(SuppressionList):
        raise Refused(400, "suppression_type is invalid")
    return cast("SuppressionList", name)


def _shown(suppression: Suppression) -> JsonObject:
    return {
        "created": suppression.created,
        "email": suppression.email,
        "reason": suppression.reason,
        "status": suppression.status,
    }
