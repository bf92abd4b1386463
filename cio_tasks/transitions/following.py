"""An enriched job is due no sooner than the initial one that it waits for.

`claims.may_follow` alone decides whether it may run. This only keeps it out of the way meanwhile: a claim goes through what
is due from the oldest on, and would visit every job that waits for an initial one which itself waits for its next try, of
which a long outage leaves hundreds of thousands. What is missed here costs such a visit; what is held back for nothing is
due by itself when the time comes. So nothing has to be repaired.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, and_, select
from sqlalchemy.orm import Session, aliased

from cio_tasks.claims import Claim
from cio_tasks.models import SyncJob
from cio_tasks.states import JobStatus, Phase
from cio_tasks.transitions.update import update_jobs


def due_behind_initial(signup_id: UUID, phase: Phase) -> ScalarSelect[Any] | None:
    """Return from when on a job that is owed anew is due: when its initial job is; None: at once."""
    if phase is Phase.INITIAL:
        return None
    initial = aliased(SyncJob)
    waits = (initial.sync_phase == Phase.INITIAL, initial.status == JobStatus.PENDING)
    return select(initial.next_retry_at).where(initial.signup_id == signup_id, *waits).scalar_subquery()


def hold_followers_back(session: Session, claims: Sequence[Claim], until: datetime) -> None:
    """Let what waits for the initial jobs among these wait until they are due. What somebody has locked stays due."""
    if signup_ids := _initial_of(claims):
        waiting = select(SyncJob.id).where(_is_untried_follower(signup_ids))
        free = waiting.with_for_update(skip_locked=True, key_share=True)
        update_jobs(session, SyncJob.id.in_(free), next_retry_at=until)


def let_followers_go(session: Session, claims: Sequence[Claim]) -> None:
    """Make what waits for the initial jobs among these due: they have come to an end."""
    if signup_ids := _initial_of(claims):
        held_back = and_(_is_untried_follower(signup_ids), SyncJob.next_retry_at.is_not(None))
        update_jobs(session, held_back, next_retry_at=None)


def _initial_of(claims: Sequence[Claim]) -> list[UUID]:
    return [claim.signup_id for claim in claims if claim.phase is Phase.INITIAL]


def _is_untried_follower(signup_ids: Sequence[UUID]) -> ColumnElement[bool]:
    """What has been tried has a time of its own."""
    return and_(
        SyncJob.signup_id.in_(signup_ids),
        SyncJob.sync_phase == Phase.ENRICHED,
        SyncJob.status == JobStatus.PENDING,
        SyncJob.attempt_count == 0,
    )
