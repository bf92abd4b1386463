"""The ready people of `ciosync fake serve`, one for each verdict on a person, with their segments and campaigns."""

from datetime import timedelta
from typing import Final

from cio_tasks.fake.histories import Histories, PastActivity, PastMessage, PersonHistory
from cio_tasks.fake.workspace import Campaign, Segment, Topic

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

BETTORS, NOBODY, ABROAD = 1, 2, 3
"""Segments: one with members, one without, one too large to make up."""
WELCOME, REMINDER, OLD_OFFER, WIN_BACK = 1, 2, 3, 4
"""Campaigns: running and sending; a draft; stopped; running with nobody to send to."""

SUBMITTED: Final = "signup_submitted"
GOT_THERE: Final = ("sent", "delivered", "opened", "human_opened")


def _welcome(*metrics: str, failure: str | None = None, ago: timedelta = 2 * HOUR) -> PastMessage:
    return PastMessage(
        subject="Welcome", metrics=metrics or GOT_THERE, failure_message=failure, ago=ago, campaign_id=WELCOME
    )


def _person(name: str, *messages: PastMessage, seen: timedelta = 2 * HOUR, **fields: object) -> PersonHistory:
    """Return somebody called `name` who signed up `seen` ago."""
    ordinary = {
        "id": f"cast-{name}",
        "email": f"{name}@cast.example",
        "attributes": {"first_name": name.capitalize(), "operator_id": "op-7", "bets": 3},
        "created_ago": 30 * DAY,
        "identified_ago": seen,
        "segments": (BETTORS,),
        "activities": (PastActivity(name=SUBMITTED, data={"operator_id": "op-7"}, ago=seen),),
        "messages": messages or (_welcome(),),
    }
    return PersonHistory.model_validate({**ordinary, **fields})


PEOPLE: Final = (
    _person("fine"),
    _person("noemail", PastMessage(type="push", subject="Welcome", ago=2 * HOUR), email=None),
    _person("stale", _welcome(ago=9 * DAY), seen=9 * DAY),
    _person("unsubscribed", unsubscribed=True),
    _person(
        "bounced",
        _welcome("sent", "bounced", failure="550 5.1.1 no such user"),
        PastMessage(metrics=("sent", "bounced"), failure_message="550 5.1.1 no such user", ago=3 * DAY),
        PastMessage(metrics=("dropped",), failure_message="the address is suppressed", ago=HOUR),
        provider_suppression="bounces",
    ),
    _person("complained", _welcome("sent", "delivered", "spammed"), provider_suppression="spam_reports"),
    _person("suppressed", suppressed=True),
    _person(
        "busy",
        PastMessage(metrics=GOT_THERE, ago=HOUR, count=60, every=8 * HOUR),
        activities=(PastActivity(name="bet_placed", data={"amount": 5}, count=2_500, every=timedelta(minutes=15)),),
    ),
)
"""`cast-fine`, `fine@cast.example` and so on. `cast-missing` is not among them: nobody by that name was ever there."""

CAST: Final = Histories(
    segments=(
        Segment(id=BETTORS, name="Bettors", description="Has submitted a signup"),
        Segment(id=NOBODY, name="Left-handed goalkeepers"),
        Segment(id=ABROAD, name="Abroad", count=48_213),
    ),
    campaigns=(
        Campaign(id=WELCOME, name="Welcome", event_name=SUBMITTED, filter_segment_ids=(BETTORS,)),
        Campaign(id=REMINDER, name="Reminder", state="draft", event_name="bet_slip_missing"),
        Campaign(id=OLD_OFFER, name="Old offer", state="stopped", type="segment", trigger_segment_ids=(ABROAD,)),
        Campaign(id=WIN_BACK, name="Win back", type="segment", trigger_segment_ids=(NOBODY,)),
    ),
    topics=(Topic(id=1, name="Offers"), Topic(id=2, name="News", subscribed_by_default=False)),
    people=PEOPLE,
)
