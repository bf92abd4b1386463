"""Mistakes in what is owed and who takes it: enqueueing, waking, claiming, taking back."""

from typing import Final

from tests.sabotage.records import Edit, sabotage

CLAIMS: Final = "cio_tasks/claims.py"
CLAIMING: Final = "cio_tasks/transitions/claiming.py"
QUEUEING: Final = "cio_tasks/transitions/queueing.py"
STUCK: Final = "cio_tasks/transitions/stuck.py"
REQUEUEING: Final = "cio_tasks/transitions/requeueing.py"
UPDATE: Final = "cio_tasks/transitions/update.py"
ENQUEUE: Final = "cio_tasks/enqueue.py"
FIRST_TABLES: Final = "cio_tasks/migrations/versions/0001_first_tables.py"

SABOTAGES: Final = (
    sabotage(
        "message before commit",
        "A message is published only after the commit of what it is about.",
        Edit(ENQUEUE, "ring_after_commit(session, job.id)\n    failpoints", "wake.ring([job.id])\n    failpoints"),
        caught_by=(
            "integration/test_enqueue.py::test_nothing_rings_before_the_commit",
            "integration/test_enqueue.py::test_nothing_rings_after_a_rollback",
        ),
    ),
    sabotage(
        "job in a transaction of its own",
        "The job commits or rolls back with the signup.",
        Edit(ENQUEUE, "    if runs:\n", "    session.commit()\n    if runs:\n"),
        caught_by=("integration/test_enqueue.py::test_rollback_leaves_neither_signup_nor_job",),
    ),
    sabotage(
        "no unique signup and phase",
        "A signup has one job of each phase, whoever asks at once.",
        Edit(
            FIRST_TABLES,
            '"uq_sync_jobs_one_per_signup_and_phase", "signup_customerio_sync_jobs", ["signup_id", "sync_phase"], '
            "unique=True",
            '"uq_sync_jobs_one_per_signup_and_phase", "signup_customerio_sync_jobs", ["signup_id", "sync_phase"], '
            "unique=False",
        ),
        Edit(
            QUEUEING, '.on_conflict_do_nothing(index_elements=["signup_id", "sync_phase"])', ".on_conflict_do_nothing()"
        ),
        caught_by=(
            "integration/test_schema_rules.py::test_the_database_refuses_what_the_code_must_never_do",
            "concurrency/test_enqueue.py::test_one_signup_that_is_enqueued_twenty_times_at_once_has_one_job",
        ),
    ),
    sabotage(
        "submitting again resets processing",
        "A job that is being delivered is not taken from whoever delivers it.",
        Edit(QUEUEING, "if job.status == JobStatus.PROCESSING:", "if job.status is None:"),
        caught_by=("integration/test_enqueue.py::test_a_job_that_is_being_delivered_is_left_alone",),
    ),
    sabotage(
        "submitting again resets completed",
        "What is delivered is not delivered again because it is submitted again.",
        Edit(QUEUEING, "if job.status == JobStatus.COMPLETED and not newer:", "if job.status is None and not newer:"),
        caught_by=("integration/test_enqueue.py::test_a_completed_job_is_returned_and_not_run_again",),
    ),
    sabotage(
        "claim without a lock",
        "Of many workers exactly one claims a job.",
        Edit(CLAIMING, "        .with_for_update(skip_locked=True, key_share=True)\n", ""),
        caught_by=("concurrency/test_claims.py::test_of_many_threads_exactly_one_claims_a_job",),
    ),
    sabotage(
        "claim waits for locked rows",
        "A row that somebody holds delays nobody else's.",
        Edit(CLAIMING, "skip_locked=True, ", ""),
        caught_by=("integration/test_jobs_claim.py::test_a_row_that_another_session_holds_is_passed_over",),
    ),
    sabotage(
        "claim keeps the token",
        "Every claim has a token of its own.",
        Edit(CLAIMING, "claim_token=SyncJob.claim_token + 1", "claim_token=SyncJob.claim_token"),
        caught_by=(
            "integration/test_jobs_claim.py::test_a_claim_is_a_job_in_processing_under_a_new_token",
            "integration/test_jobs_fence.py::test_a_late_worker_cannot_overwrite_a_newer_claim",
        ),
    ),
    sabotage(
        "due by the worker's clock",
        "The clock of the database decides what is due.",
        Edit(CLAIMS, "due_since() <= func.now())", "due_since() <= datetime.now().astimezone())"),
        caught_by=("integration/test_jobs_claim.py::test_the_clock_of_the_database_decides_what_is_due",),
    ),
    sabotage(
        "newest first",
        "The oldest debt is claimed first.",
        Edit(CLAIMING, ".order_by(due_since(), SyncJob.id)", ".order_by(due_since().desc(), SyncJob.id)"),
        caught_by=("integration/test_jobs_claim.py::test_the_oldest_debt_is_claimed_first",),
    ),
    sabotage(
        "claims visit all that wait",
        "However many jobs wait for others between two tries, a claim does not go through them.",
        Edit(
            "cio_tasks/transitions/recording.py",
            "            hold_followers_back(session, kept, due)\n",
            "            pass\n",
        ),
        caught_by=("integration/test_following.py::test_what_waits_is_due_when_the_initial_job_is",),
    ),
    sabotage(
        "held back for longer than needed",
        "The enriched phase runs as soon as the initial one is through.",
        Edit("cio_tasks/transitions/recording.py", "    let_followers_go(session, done)\n", ""),
        caught_by=(
            "integration/test_following.py::test_it_is_due_at_once_when_the_initial_job_completes",
            "integration/test_following.py::test_it_is_rung_for_when_the_initial_job_completes",
        ),
    ),
    sabotage(
        "enriched does not wait",
        "The enriched phase is never ahead of the initial one.",
        Edit(
            CLAIMS,
            "return or_(SyncJob.sync_phase == Phase.INITIAL, ~unfinished)",
            "return or_(SyncJob.id.is_not(None), ~unfinished)",
        ),
        caught_by=("integration/test_jobs_claim.py::test_the_enriched_job_waits_while_the_initial_one_is_unfinished",),
    ),
    sabotage(
        "enriched sent without its initial",
        "The enriched phase is not sent when the initial one has failed.",
        Edit("cio_tasks/delivery.py", "if claim.initial_failed:", "if claim.initial_failed is None:"),
        caught_by=("integration/test_jobs_claim.py::test_the_enriched_job_of_a_failed_initial_one_is_not_sent",),
    ),
    sabotage(
        "worker loss costs nothing",
        "A job that kills its workers ends in the dead letters.",
        Edit(STUCK, '"attempt_count": SyncJob.attempt_count + 1}', '"attempt_count": SyncJob.attempt_count}'),
        caught_by=(
            "integration/test_maintenance.py::test_a_crash_costs_a_retry_and_leaves_an_attempt",
            "integration/test_maintenance.py::test_a_job_that_kills_its_workers_ends_in_the_dead_letters",
        ),
    ),
    sabotage(
        "correction lost with its worker",
        "A correction is tried although the worker of the last retry was lost.",
        Edit(
            QUEUEING,
            "job.payload_version, job.overtaken_token = version, job.claim_token",
            "job.payload_version = version",
        ),
        caught_by=(
            "integration/test_overtaken.py::test_a_correction_begins_anew_when_the_worker_of_the_last_retry_is_lost",
            "stateful/test_real_findings.py::test_a_correction_is_tried_although_the_worker_of_the_last_retry_was_lost",
        ),
    ),
    sabotage(
        "one correction saves a job for ever",
        "A version that kills its workers ends in the dead letters, corrected once or not.",
        Edit(
            UPDATE,
            "return SyncJob.overtaken_token == SyncJob.claim_token",
            "return SyncJob.overtaken_token <= SyncJob.claim_token",
        ),
        caught_by=("integration/test_overtaken.py::test_a_correction_that_was_tried_ends_like_any_version",),
    ),
    sabotage(
        "cleanup believes its select",
        "A claim is taken back by what the row says then, not by what it said before.",
        Edit(
            STUCK,
            "and_(is_mine(claims), guard)",
            "SyncJob.id.in_([claim.job_id for claim in claims])",
        ),
        caught_by=("concurrency/test_cleanup.py::test_a_job_that_ends_while_the_cleanup_waits_for_it_stays_ended",),
    ),
    sabotage(
        "one odd row stops the cleanup",
        "One bad row never keeps the others stuck.",
        Edit("cio_tasks/journal.py", "insert(SyncAttempt).on_conflict_do_nothing()", "insert(SyncAttempt)"),
        caught_by=("integration/test_maintenance.py::test_one_odd_row_does_not_keep_the_others_stuck",),
    ),
    sabotage(
        "cleanup by the worker's clock",
        "The clock of the database decides what is stuck.",
        Edit(
            STUCK,
            "SyncJob.updated_at < func.now() - older_than",
            "SyncJob.updated_at < datetime.now().astimezone() - older_than",
        ),
        Edit(STUCK, "from datetime import timedelta", "from datetime import datetime, timedelta"),
        caught_by=("integration/test_maintenance.py::test_the_clock_of_the_database_decides_what_is_stuck",),
    ),
    sabotage(
        "cleanup of the first page",
        "One cleanup takes back all that is stuck.",
        Edit(
            "cio_tasks/maintenance.py",
            "        wake.ring([claim.job_id for claim in taken])\n",
            "        wake.ring([claim.job_id for claim in taken])\n        return total\n",
        ),
        caught_by=("integration/test_maintenance.py::test_one_run_takes_back_every_stuck_job",),
    ),
    sabotage(
        "manual retry resets the token",
        "A token only grows, whatever a person does.",
        Edit(UPDATE, 'FRESH: Final = {"attempt_count": 0,', 'FRESH: Final = {"attempt_count": 0, "claim_token": 0,'),
        caught_by=("integration/test_jobs_fence.py::test_the_token_only_grows",),
    ),
    sabotage(
        "retry by hand ignores the guard",
        "Only what has failed is retried by hand.",
        Edit(REQUEUEING, "failed = and_(wanted, SyncJob.status == JobStatus.FAILED)", "failed = and_(wanted)"),
        caught_by=("integration/test_jobs.py::test_a_manual_retry_of_what_has_not_failed_changes_nothing",),
    ),
    sabotage(
        "bulk retry believes its select",
        "A bulk retry leaves alone what somebody else has changed meanwhile.",
        Edit(REQUEUEING, "_count_retries(session, and_(failed, ", "_count_retries(session, and_(wanted, "),
        Edit(REQUEUEING, "and_(failed, SyncJob.id.in_(spent))", "SyncJob.id.in_(spent)"),
        caught_by=("concurrency/test_retry.py::test_a_job_that_changed_while_the_bulk_waited_for_it_is_skipped",),
    ),
    sabotage(
        "no order of locks",
        "Whoever changes a signup and its jobs locks the signup first, so nobody deadlocks.",
        Edit(
            "cio_tasks/journal.py",
            "    ids = sorted(set(signup_ids))\n    session.execute(",
            "    ids = sorted(set(signup_ids))\n    bool(",
        ),
        caught_by=("concurrency/test_lock_order.py::test_a_change_locks_the_signup_before_the_job",),
    ),
    sabotage(
        "sweep of the first page",
        "A sweep goes on until nothing is due.",
        Edit("cio_tasks/processor.py", "if not claims or delivered", "if claims or delivered"),
        caught_by=("integration/test_delivery.py::test_no_request_carries_more_jobs_than_the_batch_size",),
    ),
    sabotage(
        "broker as the only wake-up",
        "Work that is due is found without a message.",
        Edit(
            "cio_tasks/celeryconfig.py",
            '        "process-due": _entry("cio_tasks.process_due", settings.scaled(PROCESS_EVERY)),\n',
            "",
        ),
        caught_by=(
            "integration/test_heartbeats_of_beat.py::test_beat_repeats_what_is_promised_as_often_as_is_promised",
        ),
    ),
    sabotage(
        "nobody stands in for beat",
        "Without beat the workers ring for the sweep themselves.",
        Edit(
            "cio_tasks/heartbeats.py",
            "if silence is None or silence > SILENT_AFTER:",
            "if silence is not None and silence < -SILENT_AFTER:",
        ),
        caught_by=("integration/test_heartbeats.py::test_a_worker_rings_for_the_sweep_while_beat_is_silent",),
    ),
    sabotage(
        "window of the queue ignored",
        "A flood never fills Redis.",
        Edit("cio_tasks/bell.py", "for ring in rings[:room]:", "for ring in rings:"),
        caught_by=("integration/test_enqueue.py::test_no_more_messages_wait_than_the_window_allows",),
    ),
)
