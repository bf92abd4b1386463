"""Who held which job and when: a log that is only inserted into, and what is wrong in it.

Each row is written in the transaction that took the job or ended with it, after the row of the job is locked. So for one
job the numbers of the log are the order in which its holders had it, whatever the code did or left out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cio_tasks.claims import Claim

SHOWN: Final = 5
"""Rows of one kind of fault that are told."""
CLEANUP: Final = "cleanup"
"""Who ends what others hold."""

MAKE: Final = text("""
    CREATE TABLE claim_log (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job_id uuid NOT NULL,
        token bigint NOT NULL,
        claimer text NOT NULL,
        event text NOT NULL CHECK (event IN ('taken', 'ended')),
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
""")
KEEP: Final = text("""
    CREATE TRIGGER claim_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON claim_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit()
""")
NOTE: Final = text(
    "INSERT INTO claim_log (job_id, token, claimer, event) SELECT unnest(CAST(:jobs AS uuid[])), "
    "unnest(CAST(:tokens AS bigint[])), :claimer, :event"
)

HELD_TWICE: Final = text("""
    SELECT job_id, token, claimer, holder FROM (
        SELECT *, lag(event) OVER turns AS before, lag(claimer) OVER turns AS holder FROM claim_log
        WINDOW turns AS (PARTITION BY job_id ORDER BY seq)) AS turn
     WHERE event = 'taken' AND before = 'taken' ORDER BY seq
""")
TOKEN_NOT_NEXT: Final = text("""
    SELECT job_id, token, before FROM (
        SELECT *, lag(token, 1, 0::bigint) OVER (PARTITION BY job_id ORDER BY seq) AS before
          FROM claim_log WHERE event = 'taken') AS turn
     WHERE token <> before + 1 ORDER BY seq
""")
ENDED_UNHELD: Final = text("""
    SELECT job_id, token, claimer FROM (
        SELECT *, lag(event) OVER turns AS before, lag(token) OVER turns AS held, lag(claimer) OVER turns AS holder
          FROM claim_log WINDOW turns AS (PARTITION BY job_id ORDER BY seq)) AS turn
     WHERE event = 'ended' AND (before IS DISTINCT FROM 'taken' OR token <> held OR claimer NOT IN (holder, :cleanup))
     ORDER BY seq
""")
OVERLAPPING: Final = text("""
    SELECT job_id, token FROM (
        SELECT taken.job_id, taken.token, taken.at AS since,
               max(coalesce(ended.at, 'infinity')) OVER (
                   PARTITION BY taken.job_id ORDER BY taken.at, taken.seq
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until
          FROM claim_log taken
          LEFT JOIN claim_log ended ON ended.event = 'ended' AND (ended.job_id, ended.token) = (taken.job_id, taken.token)
         WHERE taken.event = 'taken') AS held
     WHERE since < until
""")
NOT_AS_THE_JOBS_SAY: Final = text("""
    SELECT job.id AS job_id, job.claim_token AS token, count(seq) AS logged
      FROM signup_customerio_sync_jobs job
      LEFT JOIN claim_log ON job_id = job.id AND event = 'taken'
     GROUP BY job.id HAVING job.claim_token <> count(seq) OR job.status = 'processing'
""")
FAULTS: Final = {
    "claimed while another held it": HELD_TWICE,
    "claimed under a token that is not the next": TOKEN_NOT_NEXT,
    "recorded by somebody who did not hold it": ENDED_UNHELD,
    "held twice by the clock of the database": OVERLAPPING,
    "another token than claims, or still held": NOT_AS_THE_JOBS_SAY,
}

SUMS: Final = text("""
    SELECT count(*) FILTER (WHERE event = 'taken') AS claims, count(DISTINCT job_id) AS jobs,
           count(DISTINCT claimer) FILTER (WHERE event = 'taken') AS claimers, max(token) AS highest_token,
           count(*) FILTER (WHERE claimer = :cleanup) AS taken_back
      FROM claim_log
""")
MOST_AT_ONCE: Final = text("""
    SELECT max(jobs) AS jobs, max(holders) AS holders FROM (
        SELECT sum(change) OVER (ORDER BY at, change) AS jobs, sum(first) OVER (ORDER BY at, change) AS holders FROM (
            SELECT at, change, CASE WHEN held - change = 0 THEN 1 WHEN held = 0 THEN -1 ELSE 0 END AS first FROM (
                SELECT at, change, sum(change) OVER (PARTITION BY holder ORDER BY at, change) AS held FROM (
                    SELECT taken.claimer AS holder, log.at, CASE log.event WHEN 'taken' THEN 1 ELSE -1 END AS change
                      FROM claim_log log JOIN claim_log taken
                        ON taken.event = 'taken' AND (taken.job_id, taken.token) = (log.job_id, log.token)
                ) AS changes) AS holdings) AS firsts) AS running
""")


def make_log(engine: Engine) -> None:
    """Make the empty log. What it holds can neither be changed nor deleted."""
    with engine.begin() as connection:
        connection.execute(MAKE)
        connection.execute(KEEP)


def note(session: Session, event: str, claims: Sequence[Claim], claimer: str) -> None:
    """Note in the caller's transaction that `claimer` has taken these claims, or ended with them."""
    if claims:
        jobs, tokens = [str(claim.job_id) for claim in claims], [claim.token for claim in claims]
        session.execute(NOTE, {"jobs": jobs, "tokens": tokens, "claimer": claimer, "event": event})


def find_faults(engine: Engine) -> Iterator[str]:
    """Yield what is wrong, for a person to read."""
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        for name, statement in FAULTS.items():
            rows = connection.execute(statement, {"cleanup": CLEANUP}).all()
            for row in rows[:SHOWN]:
                job, token, *others = row
                yield f"{name}: job {job}, token {token}, {' '.join(map(str, others))} ({len(rows)} of them)"


def read_figures(engine: Engine) -> dict[str, Any]:
    """Return what was done, and how much of it at the same time."""
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        sums = connection.execute(SUMS, {"cleanup": CLEANUP}).one()
        most = connection.execute(MOST_AT_ONCE).one()
    return {
        "claims": int(sums.claims),
        "jobs claimed": int(sums.jobs),
        "claimers that got some": int(sums.claimers),
        "highest token of a job": int(sums.highest_token or 0),
        "taken back by the cleanup": int(sums.taken_back),
        "most jobs held at once": int(most.jobs or 0),
        "most claimers holding at once": int(most.holders or 0),
    }
