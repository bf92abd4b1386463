"""People and campaigns looked into by the tests: the stand-in without a limit, and the database beside it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func

from cio_tasks.db import Sessions
from cio_tasks.diagnostics.campaign import examine_campaign
from cio_tasks.diagnostics.campaign_report import CampaignReport
from cio_tasks.diagnostics.masking import Mask
from cio_tasks.diagnostics.person import investigate
from cio_tasks.diagnostics.person_report import PersonReport
from cio_tasks.fake import FakeCustomerIO, PastActivity, PersonHistory
from cio_tasks.findings import Finding
from cio_tasks.models import Signup, SyncJob
from cio_tasks.settings import Settings
from tests.factories import Factory
from tests.integration.app_client import KEY, got

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def app_settings(fake: FakeCustomerIO, **others: str) -> Settings:
    """Return settings that lead to the stand-in; without Redis, every investigation has a pace of its own."""
    values = {"CUSTOMERIO_APP_API_KEY": KEY, "CUSTOMERIO_APP_URL": fake.url, **others}
    return Settings.from_env({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class Detective:
    """Looks into people and campaigns with these settings and this database, or none."""

    settings: Settings
    sessions: Sessions | None = None

    def __call__(self, user: str, **options: Any) -> PersonReport:
        return investigate(self.settings, self.sessions, user, **options)

    def issue(self, user: str, code: str) -> Finding:
        """Return the only finding of this code; fail when there is none."""
        return only(self(user), code)

    def campaign(self, campaign_id: int, **options: Any) -> CampaignReport:
        """Return the report on a campaign that can be read."""
        return got(examine_campaign(self.settings, self.sessions, campaign_id, **options))


def codes(report: PersonReport | CampaignReport) -> list[str]:
    """Return what was found, the worst first."""
    return [finding.code for finding in report.findings]


def only(report: PersonReport | CampaignReport, code: str) -> Finding:
    """Return the only finding of this code; fail when there is none, or more."""
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def missing(report: PersonReport | CampaignReport) -> dict[str, str]:
    """Return which parts could not be read, and the codes that say why."""
    return {part: why.code for part, why in report.unavailable}


def shown(report: PersonReport | CampaignReport, *, reveal: bool = True) -> dict[str, Any]:
    """Return the report as scripts get it."""
    return report.as_json(Mask((), reveal))


def person(**fields: Any) -> PersonHistory:
    """Return somebody about whom nothing is wrong."""
    usual = {
        "id": "u1",
        "email": "ada@example.com",
        "segments": (7,),
        "activities": (PastActivity(name="signup_submitted"),),
        "messages": ({"metrics": ("sent", "delivered", "opened")},),
    }
    return PersonHistory.model_validate({**usual, **fields})


def complete(make: Factory, signup: Signup, *, ago: timedelta = timedelta(0), **columns: Any) -> SyncJob:
    """Let the initial job of a signup be done `ago`, as a worker would have."""
    job = make.job(signup)
    make.set(job.id, status="completed", completed_at=func.now() - ago, **columns)
    return make.job(signup)
