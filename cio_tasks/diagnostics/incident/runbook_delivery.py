"""P3, delivery: how much comes back, to whom, from which campaign and which segment (rows P3.1 to P3.5)."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from cio_tasks.customerio.app_answers import Failure, Trouble
from cio_tasks.customerio.app_api import AppAPI
from cio_tasks.customerio.app_campaigns import Campaign
from cio_tasks.customerio.app_people import Suppression
from cio_tasks.diagnostics.bounded import start
from cio_tasks.diagnostics.incident.complaints import OfCampaign, list_addresses, list_campaigns
from cio_tasks.diagnostics.incident.evidence import Mail, Unknown
from cio_tasks.diagnostics.incident.levels import BOUNCE_RATE, COMPLAINT_RATE, FEWEST_MAILS
from cio_tasks.diagnostics.incident.severity import percent
from cio_tasks.diagnostics.incident.steps import Case, Result, Step, failed, human, passed, unread
from cio_tasks.redaction import mask_email

SAMPLE: Final = 5
"""Addresses looked up: a second's worth of the App API's limit would be ten."""
FEWEST_OF_ONE: Final = 3
"""Fewer from one campaign are chance."""
NO_KEY: Final = "CUSTOMERIO_APP_API_KEY is not set"
A_SECOND: Final = timedelta(seconds=1)

T = TypeVar("T")


def check_rates(case: Case) -> Result:
    """P3.1: bounces and complaints."""
    mail = case.evidence.mail
    if isinstance(mail, Unknown):
        return unread(mail)
    seen = _mail_text(mail)
    too_many = (mail.bounce_rate or 0) > BOUNCE_RATE or (mail.complaint_rate or 0) > COMPLAINT_RATE
    if too_many:
        return failed(seen, "stop what is being sent to whom it bounces: steps P3.4 and P3.5")
    if mail.sent < FEWEST_MAILS:
        what_next = "look at the deliveries in Customer.io: reports say little of so few"
        return human(f"{seen}; {FEWEST_MAILS} make a rate", what_next)
    return passed(seen)


def _mail_text(mail: Mail) -> str:
    parts = [f"of {mail.sent} e-mails reported in 24 h"]
    parts.append(
        f"{mail.bounced} bounced" + (f" ({percent(mail.bounce_rate)})" if mail.bounce_rate is not None else "")
    )
    complained = f" ({percent(mail.complaint_rate)})" if mail.complaint_rate is not None else ""
    return f"{parts[0]}, {parts[1]}, {mail.complaints} were called spam{complained}"


# --- P3.2 -------------------------------------------------------------------------------------------------------------


def check_suppression(case: Case) -> Result:
    """P3.2: whether the e-mail provider still delivers to those whose mail came back."""
    addresses = case.read(partial(list_addresses, limit=SAMPLE))
    if isinstance(addresses, Unknown):
        return unread(addresses)
    if not addresses:
        return passed("no e-mail of our customers bounced or was called spam in 24 h")
    if case.settings.customerio_app_api_key is None:
        return human(f"{len(addresses)} addresses to look up, and {NO_KEY}", "set it, or look them up in Customer.io")
    api = AppAPI.from_settings(case.settings, total=case.each)
    asked = {
        address: start(partial(_patiently, partial(api.suppression, address), case), name="suppression")
        for address in addresses
    }
    answers = {address: _answer(future, case) for address, future in asked.items()}
    return _judge_suppression(answers)


def _answer(future: Future[Suppression | Failure], case: Case) -> Suppression | Failure:
    try:
        return future.result(3 * case.each.total_seconds())
    except TimeoutError:
        return Failure(Trouble.UNREACHABLE, "timeout", "not answered in time")


def _patiently(question: Callable[[], T | Failure], case: Case) -> T | Failure:
    """Ask, and once more after a 429: the ten questions a second are everybody's who asks about this workspace."""
    answer = question()
    if not isinstance(answer, Failure) or answer.trouble is not Trouble.RATE_LIMITED:
        return answer
    time.sleep(min(answer.retry_after or A_SECOND, case.each).total_seconds())
    return question()


def _judge_suppression(answers: dict[str, Suppression | Failure]) -> Result:
    told = {address: one for address, one in answers.items() if isinstance(one, Suppression)}
    held = {address: one.category or "suppressed" for address, one in told.items() if one.suppressed}
    if not told:
        detail = next((one.detail for one in answers.values() if isinstance(one, Failure)), "not answered")
        return human(f"none of {len(answers)} addresses could be looked up: {detail}", "ciosync debug auth")
    seen = f"of {len(told)} sampled addresses {len(held)} are suppressed by the e-mail provider"
    if not held:
        return passed(seen)
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(held.values()).most_common())
    who = ", ".join(mask_email(address) for address in held)
    return failed(f"{seen} ({kinds}): {who}", "they get no mail until the address is corrected and taken off the list")


# --- P3.3 to P3.5 -----------------------------------------------------------------------------------------------------


def check_reputation(case: Case) -> Result:
    """P3.3: what mail providers think of us, which no interface of Customer.io tells."""
    mail = case.evidence.mail
    seen = f"not known: {mail.detail}" if isinstance(mail, Unknown) else _mail_text(mail)
    limits = f"providers object above {percent(BOUNCE_RATE)} bounces and {percent(COMPLAINT_RATE)} complaints"
    what_next = "look at Google Postmaster Tools, and at SPF, DKIM and DMARC of the sending domain in Customer.io"
    return human(f"{seen}; {limits}", what_next)


def check_campaigns(case: Case) -> Result:
    """P3.4: whether it comes from one campaign."""
    campaigns = case.read(list_campaigns)
    if isinstance(campaigns, Unknown):
        return unread(campaigns)
    if not campaigns:
        return passed("no bounce and no complaint in 24 h")
    seen = ", ".join(f"{one.count} of {_name(one)}" for one in campaigns)
    worst = _worst(campaigns)
    if worst is None:
        return passed(f"bounces and complaints in 24 h: {seen}; no campaign stands out")
    return failed(f"bounces and complaints in 24 h: {seen}", f"ciosync debug campaign {worst}; pause it in Customer.io")


def _name(one: OfCampaign) -> str:
    return "no campaign" if one.campaign_id is None else f"campaign {one.campaign_id}"


def _worst(campaigns: list[OfCampaign]) -> str | None:
    """Return the campaign from which at least half of it comes."""
    total = sum(one.count for one in campaigns)
    return next(
        (
            one.campaign_id
            for one in campaigns
            if one.campaign_id is not None and one.count >= FEWEST_OF_ONE and 2 * one.count >= total
        ),
        None,
    )


def check_segments(case: Case) -> Result:
    """P3.5: whom the campaign is sent to."""
    campaigns = case.read(list_campaigns)
    if isinstance(campaigns, Unknown):
        return unread(campaigns)
    worst = _worst(campaigns)
    if worst is None:
        return passed("no campaign stands out, so no segment is suspected")
    if case.settings.customerio_app_api_key is None:
        return human(f"{NO_KEY}", f"set it, or look at the segments of campaign {worst} in Customer.io")
    if not worst.isdecimal():
        return human("the campaign's id is no number", "look it up in Customer.io")
    api = AppAPI.from_settings(case.settings, total=case.each)
    campaign = _patiently(partial(api.campaign, int(worst)), case)
    if isinstance(campaign, Failure):
        return human(f"campaign {worst} could not be read: {campaign.detail}", f"ciosync debug campaign {worst}")
    return _judge_segments(api, campaign, case)


def _judge_segments(api: AppAPI, campaign: Campaign, case: Case) -> Result:
    sizes = {
        segment: _patiently(partial(api.customer_count, segment), case) for segment in campaign.segment_ids[:SAMPLE]
    }
    told = [
        f"segment {segment}: {size.detail if isinstance(size, Failure) else f'{size} people'}"
        for segment, size in sizes.items()
    ]
    whom = ", ".join(told) or "no segment, all who trigger it"
    seen = f"campaign {campaign.id} ({campaign.state or 'state unknown'}): {whom}"
    if any(size == 0 for size in sizes.values()):
        return failed(seen, f"nobody is in it: ciosync debug campaign {campaign.id}")
    return human(seen, "are these the people who asked for it? leave out who bounced, and who was silent for long")


STEPS: Final = (
    Step("P3.1", "Bounce and complaint rates", check_rates),
    Step("P3.2", "Suppression list", check_suppression),
    Step("P3.3", "Sender reputation", check_reputation),
    Step("P3.4", "Campaign", check_campaigns),
    Step("P3.5", "Segments", check_segments),
)
