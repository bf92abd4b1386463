"""The App API as the diagnostics see it: what Customer.io knows of a person, a campaign, a segment. It changes nothing.

Each method asks with one request, lists with one for each page, and returns a record or a `Failure`: nothing is raised
for what the other side does, so that whoever asks for many things gets those that can be had.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote, urlencode

from limits import RateLimitItemPerSecond

from cio_tasks.customerio.app_answers import (
    NO_KEY,
    OWN_PACE,
    UNASKABLE,
    Document,
    Failure,
    Listing,
    Trouble,
    read_document,
)
from cio_tasks.customerio.app_campaigns import Campaign, Metrics, Segment, WorkspaceInfo
from cio_tasks.customerio.app_pages import Wanted, read_pages
from cio_tasks.customerio.app_people import (
    Activity,
    Identifiers,
    Message,
    Person,
    Subscriptions,
    Suppression,
    Topic,
    Who,
)
from cio_tasks.customerio.app_values import as_list, as_number, as_numbers, as_object
from cio_tasks.customerio.client import USER_AGENT
from cio_tasks.customerio.limits import encode
from cio_tasks.customerio.pace import Pace
from cio_tasks.customerio.reads import ReadTransport
from cio_tasks.customerio.transport import Bearer, Transport
from cio_tasks.settings import TOTAL_DEADLINE, Settings

PER_SECOND: Final = 10
"""What Customer.io allows a workspace, all its users together (AppOAS)."""
LIMIT: Final = 1_000
WITHIN: Final = timedelta(seconds=20)
ACTIVITIES_PER_PAGE: Final = 100
MESSAGES_PER_PAGE: Final = 200
MEMBERS_PER_PAGE: Final = 1_000
MOST_PEOPLE_AT_ONCE: Final = 100
ACTIVITY_HISTORY: Final = timedelta(days=30)
"""How far back activities are guaranteed; older ones may be missing (AppOAS)."""
DOTS: Final = frozenset({"", ".", ".."})
"""No name in a path, encoded or not (RFC 3986, 5.2.4)."""
EMPTY: Final = Failure(Trouble.UNREADABLE, "not_customerio", "the answer is not the App API's")

T = TypeVar("T")
Query = Mapping[str, str | int | None]


class AppPace(Pace):
    """The App API's own window: at most ten calls in any one second, over all processes that share `redis_url`."""

    def __init__(self, *, redis_url: str | None, per_second: int = PER_SECOND) -> None:
        super().__init__(per_second, redis_url=redis_url)
        self._item = RateLimitItemPerSecond(per_second, namespace="APP")


class AppAPI:
    """The App API of one workspace. Without a key every answer is the failure `no_key`."""

    def __init__(self, transport: Transport | None, pace: Pace) -> None:
        self._transport = transport
        self._pace = pace

    @classmethod
    def from_settings(cls, settings: Settings, *, total: timedelta = TOTAL_DEADLINE) -> Self:
        """Return the client that the settings describe; `total` ends each request. No connection is made yet."""
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        pace = AppPace(redis_url=redis_url)
        if settings.customerio_app_api_key is None:
            return cls(None, pace)
        auth = Bearer(settings.customerio_app_api_key.get_secret_value())
        return cls(ReadTransport(settings.app_url, auth=auth, total=total, user_agent=USER_AGENT), pace)

    # --- people ---

    def find_by_email(self, email: str) -> tuple[Identifiers, ...] | Failure:
        """Return who has this address: nobody, one, or more where addresses do not identify (AppOAS, getPeopleEmail)."""
        document = self._get(_path("customers", email=email))
        return document if isinstance(document, Failure) else _all(document, "results", Identifiers.read)

    def person(self, who: Who) -> Person | Failure:
        """Return the profile; `not_found` when there is none, as for everybody suppressed in Customer.io."""
        return self._one(_of(who, "attributes"), "customer", Person.read)

    def people(self, ids: Sequence[str]) -> tuple[Person, ...] | Failure:
        """Return the profiles with these ids; the unknown ones are missing (AppOAS, getPeopleById).

        Raises:
            ValueError: for more than 100 ids.
        """
        if len(ids) > MOST_PEOPLE_AT_ONCE:
            raise ValueError(f"at most {MOST_PEOPLE_AT_ONCE} ids at once")
        document = self._ask("POST", "/v1/customers/attributes", {"ids": list(ids)})
        if isinstance(document, Failure):
            return document
        return _all(document, "customers", lambda entry: Person.read(as_object(entry).get("customer")))

    def segments_of(self, who: Who) -> tuple[Segment, ...] | Failure:
        """Return the segments that a person is in."""
        document = self._get(_of(who, "segments"))
        return document if isinstance(document, Failure) else _all(document, "segments", Segment.read)

    def activities(
        self,
        who: Who,
        *,
        type_: str | None = None,
        name: str | None = None,
        limit: int = LIMIT,
        within: timedelta = WITHIN,
    ) -> Listing[Activity] | Failure:
        """Return what a person did and was sent in the last 30 days, as listed: newest first, which is not promised."""
        wanted = Wanted(
            key="activities",
            read=Activity.read,
            identity=lambda activity: activity.id,
            limit=limit,
            page_size=min(limit, ACTIVITIES_PER_PAGE),
            within=within,
        )
        return self._pages(wanted, lambda page: _of(who, "activities", type=type_, name=name, **page))

    def messages(
        self,
        who: Who,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
        within: timedelta = WITHIN,
    ) -> Listing[Message] | Failure:
        """Return the messages made for a person between two times, by default in the last six months (AppOAS)."""
        times = _span(since, until)
        return self._pages(_messages(limit, within), lambda page: _of(who, "messages", **times, **page))

    def subscriptions(self, who: Who) -> Subscriptions | Failure:
        """Return what a person has agreed to (AppOAS, getPersonSubscriptionPreferences)."""
        return self._one(_of(who, "subscription_preferences"), "customer", _read_subscriptions)

    def suppression(self, email: str) -> Suppression | Failure:
        """Return whether the e-mail provider suppresses an address (AppOAS, getSuppression).

        Only an answer says that an address is clean. Who is suppressed in Customer.io itself cannot be asked.
        """
        document = self._get(_path("esp", "search_suppression", email))
        return document if isinstance(document, Failure) else Suppression.read(document)

    def search(
        self, filter_: Mapping[str, Any], *, limit: int = LIMIT, within: timedelta = WITHIN
    ) -> Listing[Identifiers] | Failure:
        """Return who meets a filter of segments and attributes, such as `{"segment": {"id": 7}}` (AppOAS)."""
        return read_pages(
            lambda page: self._ask("POST", _path("customers", **page), {"filter": filter_}), _identified(limit, within)
        )

    # --- campaigns and segments ---

    def campaigns(self) -> tuple[Campaign, ...] | Failure:
        """Return all campaigns: they come in one piece (AppOAS, listCampaigns)."""
        document = self._get("/v1/campaigns")
        return document if isinstance(document, Failure) else _all(document, "campaigns", Campaign.read)

    def campaign(self, campaign_id: int) -> Campaign | Failure:
        """Return one campaign."""
        return self._one(_path("campaigns", campaign_id), "campaign", Campaign.read)

    def campaign_metrics(
        self,
        campaign_id: int,
        *,
        since: datetime,
        until: datetime,
        resolution: Literal["hours", "days", "weeks", "months"] = "days",
    ) -> Metrics | Failure:
        """Return a campaign's counts between two times, in periods of UTC: the default is US Eastern (AppOAS)."""
        span = {"start": int(since.timestamp()), "end": int(until.timestamp())}
        path = _path("campaigns", campaign_id, "metrics", version=2, res=resolution, tz="UTC", **span)
        return self._one(path, "metric", _read_metrics)

    def campaign_messages(
        self,
        campaign_id: int,
        *,
        metric: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = LIMIT,
        within: timedelta = WITHIN,
    ) -> Listing[Message] | Failure:
        """Return the messages of a campaign, by default of the last six months; `metric` keeps those that reached it."""
        times = _span(since, until)
        return self._pages(
            _messages(limit, within),
            lambda page: _path("campaigns", campaign_id, "messages", metric=metric, **times, **page),
        )

    def segments(self) -> tuple[Segment, ...] | Failure:
        """Return all segments: they come in one piece (AppOAS, listSegments)."""
        document = self._get("/v1/segments")
        return document if isinstance(document, Failure) else _all(document, "segments", Segment.read)

    def segment(self, segment_id: int) -> Segment | Failure:
        """Return one segment."""
        return self._one(_path("segments", segment_id), "segment", Segment.read)

    def customer_count(self, segment_id: int) -> int | Failure:
        """Return how many people are in a segment."""
        document = self._get(_path("segments", segment_id, "customer_count"))
        if isinstance(document, Failure):
            return document
        count = as_number(document.get("count"))
        return EMPTY if count is None else count

    def members(
        self, segment_id: int, *, limit: int = LIMIT, within: timedelta = WITHIN
    ) -> Listing[Identifiers] | Failure:
        """Return who is in a segment."""
        return self._pages(_identified(limit, within), lambda page: _path("segments", segment_id, "membership", **page))

    def workspaces(self) -> tuple[WorkspaceInfo, ...] | Failure:
        """Return the workspaces that the key sees: the cheapest check of a key (AppOAS, listWorkspaces)."""
        document = self._get("/v1/workspaces")
        return document if isinstance(document, Failure) else _all(document, "workspaces", WorkspaceInfo.read)

    # --- asking ---

    def _one(self, path: str | None, key: str, read: Callable[[object], T | None]) -> T | Failure:
        document = self._get(path)
        if isinstance(document, Failure):
            return document
        found = read(document.get(key))
        return EMPTY if found is None else found

    def _pages(self, wanted: Wanted[T], path: Callable[[dict[str, str | int]], str | None]) -> Listing[T] | Failure:
        return read_pages(lambda page: self._get(path(page)), wanted)

    def _get(self, path: str | None) -> Document | Failure:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str | None, body: Mapping[str, Any] | None = None) -> Document | Failure:
        if self._transport is None:
            return NO_KEY
        if path is None:
            return UNASKABLE
        if not self._pace.wait_for_turn():
            return OWN_PACE
        return read_document(self._transport.send(method, path, None if body is None else encode(body)))


def _of(who: Who, what: str, **query: str | int | None) -> str | None:
    """Return the path of something about a person; Customer.io's own id has its prefix there (AppOAS of 2026-09)."""
    value = f"cio_{who.value}" if who.kind == "cio_id" and who.value else who.value
    return _path("customers", value, what, id_type=who.kind, **query)


def _path(*parts: str | int, **query: str | int | None) -> str | None:
    """Return the path of a question, or None when a part of it cannot be put into an address.

    Every sign that means something in an address is encoded: a plain `+` or `@` finds nothing (AppOAS of 2026-09).
    """
    if any(part in DOTS for part in parts):
        return None
    asked = {name: value for name, value in query.items() if value is not None}
    try:
        path = "/".join(["/v1", *(quote(str(part), safe="") for part in parts)])
        return f"{path}?{urlencode(asked, quote_via=quote, safe='')}" if asked else path
    except UnicodeEncodeError:
        return None


def _span(since: datetime | None, until: datetime | None) -> dict[str, int | None]:
    return {
        "start_ts": None if since is None else int(since.timestamp()),
        "end_ts": None if until is None else int(until.timestamp()),
    }


def _messages(limit: int, within: timedelta) -> Wanted[Message]:
    return Wanted(
        key="messages",
        read=Message.read,
        identity=lambda message: message.id,
        limit=limit,
        page_size=min(limit, MESSAGES_PER_PAGE),
        within=within,
    )


def _identified(limit: int, within: timedelta) -> Wanted[Identifiers]:
    return Wanted(
        key="identifiers",
        read=Identifiers.read,
        identity=lambda one: one.cio_id,
        limit=limit,
        page_size=min(limit, MEMBERS_PER_PAGE),
        within=within,
    )


def _all(document: Document, key: str, read: Callable[[object], T | None]) -> tuple[T, ...]:
    found = (read(entry) for entry in as_list(document.get(key)))
    return tuple(one for one in found if one is not None)


def _read_subscriptions(document: object) -> Subscriptions | None:
    if not isinstance(document, dict):
        return None
    return Subscriptions(document.get("unsubscribed") is True, _all(document, "topics", Topic.read))


def _read_metrics(document: object) -> Metrics | None:
    if not isinstance(document, dict):
        return None
    return Metrics({name: as_numbers(counts) for name, counts in as_object(document.get("series")).items()})
