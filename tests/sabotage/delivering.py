"""Mistakes in what is sent, what an answer means, and what is written of it."""

from typing import Final

from tests.sabotage.records import Edit, sabotage

DELIVERY: Final = "cio_tasks/delivery.py"
PROCESSOR: Final = "cio_tasks/processor.py"
RECORDING: Final = "cio_tasks/transitions/recording.py"
UPDATE: Final = "cio_tasks/transitions/update.py"
JOURNAL: Final = "cio_tasks/journal.py"
GATE: Final = "cio_tasks/gate.py"
REPLIES: Final = "cio_tasks/customerio/replies.py"
CLIENT: Final = "cio_tasks/customerio/client.py"
TRACK: Final = "cio_tasks/customerio/track.py"

SABOTAGES: Final = (
    # --- what is sent -------------------------------------------------------------------------------------------------
    sabotage(
        "new event id per attempt",
        "Every attempt of one event carries the same id.",
        Edit("cio_tasks/phases.py", "version=claim.payload_version)", "version=claim.token)"),
        caught_by=(
            "integration/test_delivery.py::test_a_repeat_carries_the_same_event_id_and_time_and_is_dropped",
            "integration/test_jobs_fence.py::test_a_slow_worker_and_its_successor_send_the_same_event",
        ),
    ),
    sabotage(
        "event without an id",
        "Customer.io can tell a repeat from a new event.",
        Edit(TRACK, '        "id": event_id,\n', ""),
        caught_by=("integration/test_delivery.py::test_a_repeat_carries_the_same_event_id_and_time_and_is_dropped",),
    ),
    sabotage(
        "correction under the old id",
        "A correction is a new event.",
        Edit("cio_tasks/event_ids.py", "{phase}:{event}:{version}", "{phase}:{event}:1"),
        caught_by=(
            "unit/test_phases.py::test_correction_is_a_new_event",
            "integration/test_jobs_versions.py::test_a_correction_after_completion_is_sent_as_a_new_event",
        ),
    ),
    sabotage(
        "time of the sending",
        "An older value never overwrites a newer one: a person is identified with the time of the row.",
        Edit(
            TRACK,
            '        "attributes": attributes,\n        "timestamp": int(at.timestamp()),',
            '        "attributes": attributes,\n        "timestamp": int(datetime.now().timestamp()),',
        ),
        caught_by=("integration/test_delivery.py::test_what_is_sent_has_the_time_of_the_row_and_not_of_the_sending",),
    ),
    sabotage(
        "request inside a transaction",
        "No transaction is open while Customer.io is asked.",
        Edit(
            DELIVERY,
            "        sent, parts = _send(runtime.client, batch)\n",
            "        with runtime.sessions.begin() as held:\n"
            "            held.execute(select(1))\n"
            "            sent, parts = _send(runtime.client, batch)\n",
        ),
        caught_by=("integration/test_delivery.py::test_no_transaction_is_open_while_customerio_is_asked",),
    ),
    sabotage(
        "redirect followed",
        "A redirect is not followed: a POST would become a GET.",
        Edit("cio_tasks/customerio/transport.py", "allow_redirects=False", "allow_redirects=True"),
        caught_by=("integration/test_client.py::test_redirect_is_not_followed",),
    ),
    sabotage(
        "no deadline in all",
        "A call ends in time although an answer drips.",
        Edit("cio_tasks/customerio/deadline.py", "    timer.start()\n", ""),
        caught_by=(
            "integration/test_client_network.py::test_answer_that_drips_byte_by_byte_is_left_when_the_time_is_up",
        ),
    ),
    sabotage(
        "own pace ignored",
        "No more requests a second than were agreed.",
        Edit(CLIENT, "if not self._pace.wait_for_turn():", "if self._pace.wait_for_turn() is None:"),
        caught_by=("integration/test_client.py::test_nothing_is_sent_when_our_own_pace_allows_none",),
    ),
    # --- what an answer means -----------------------------------------------------------------------------------------
    sabotage(
        "207 is success",
        "Only the items that a 207 names fail, and those do.",
        Edit(REPLIES, "    if not errors:\n", "    if not errors or reply.status == HTTPStatus.MULTI_STATUS:\n"),
        caught_by=(
            "unit/test_replies.py::test_only_the_named_items_are_refused",
            "integration/test_delivery.py::test_only_the_jobs_that_a_207_names_fail",
        ),
    ),
    sabotage(
        "200 with errors is success",
        "A 200 that carries errors is no success for what they name.",
        Edit(REPLIES, "    if not errors:\n", "    if not errors or reply.status == HTTPStatus.OK:\n"),
        caught_by=("unit/test_replies.py::test_only_the_named_items_are_refused",),
    ),
    sabotage(
        "any 200 is success",
        "A 200 that is not Customer.io's is no success.",
        Edit(REPLIES, "    if body is None:\n", "    if body is None and reply.body is None:\n"),
        Edit(REPLIES, 'errors = body.get("errors") or []', 'errors = (body or {}).get("errors") or []'),
        caught_by=("unit/test_replies.py::test_success_that_is_not_customerios_is_tried_again",),
    ),
    sabotage(
        "refused batch fails everybody",
        "One bad signup does not fail its neighbours.",
        Edit(REPLIES, "return code not in CREDENTIALS_AT_FAULT", 'return code in {"never"}'),
        caught_by=("integration/test_delivery.py::test_a_refused_batch_is_halved_down_to_the_guilty_job",),
    ),
    sabotage(
        "timeout is success",
        "What was not answered is not delivered.",
        Edit(
            REPLIES,
            'return BatchResult(RetryLater(ErrorType.NETWORK, code, f"no answer from Customer.io: {code}"))',
            "return BatchResult(Delivered(code != code))",
        ),
        caught_by=("unit/test_replies.py::test_no_answer_is_a_network_failure_to_retry",),
    ),
    sabotage(
        "mock taken for real",
        "What was sent to nobody is marked as mock.",
        Edit(
            RECORDING, "mock=delivered.mock,\n            claimed_by=None", "mock=False,\n            claimed_by=None"
        ),
        caught_by=("integration/test_client_rows.py::test_mocked_success_is_marked_wherever_it_is_stored_or_told",),
    ),
    sabotage(
        "mock with credentials",
        "With credentials nothing is pretended.",
        Edit(
            CLIENT,
            "return reply, read_reply(reply, size=len(operations))",
            "return reply, BatchResult(Delivered(mock=True))",
        ),
        caught_by=("integration/test_client.py::test_with_credentials_a_success_is_not_marked_as_mock",),
    ),
    # --- what is written ----------------------------------------------------------------------------------------------
    sabotage(
        "no fence on record",
        "A late worker cannot overwrite a newer claim.",
        Edit(
            UPDATE,
            "return and_(SyncJob.status == JobStatus.PROCESSING, ids, held)",
            "return and_(SyncJob.status == JobStatus.PROCESSING, ids)",
        ),
        caught_by=("integration/test_jobs_fence.py::test_a_late_worker_cannot_overwrite_a_newer_claim",),
    ),
    sabotage(
        "record after the end",
        "An outcome is recorded once.",
        Edit(UPDATE, "return and_(SyncJob.status == JobStatus.PROCESSING, ids, held)", "return and_(ids, held)"),
        caught_by=("integration/test_jobs_fence.py::test_an_outcome_is_recorded_once",),
    ),
    sabotage(
        "newer version forgotten",
        "A correction that comes during the delivery is sent too.",
        Edit(
            RECORDING,
            "is_mine(claims, with_version=True),\n            status=JobStatus.COMPLETED",
            "is_mine(claims),\n            status=JobStatus.COMPLETED",
        ),
        caught_by=("integration/test_jobs_versions.py::test_a_correction_during_the_delivery_runs_the_job_again",),
    ),
    sabotage(
        "refusal believes its claim",
        "A job follows its initial one into the dead letters only while that is there.",
        Edit(RECORDING, "if failure.code == INITIAL_FAILED else []", "if failure.code is None else []"),
        caught_by=(
            "integration/test_initial_first.py::test_what_waited_for_a_failed_initial_job_waits_again_once_that_is_retried",
            "integration/test_initial_first.py::test_of_many_only_those_whose_initial_job_is_still_given_up_follow_it",
        ),
    ),
    sabotage(
        "refusal looks too early",
        "Whether an initial job is given up is read under the lock of its signup.",
        Edit(
            RECORDING,
            "    journal.lock_signups(session, [claim.signup_id for claim in claims])\n    freed =",
            "    freed =",
        ),
        caught_by=("concurrency/test_retry.py::test_a_refusal_waits_for_the_retry_that_makes_it_untrue",),
    ),
    sabotage(
        "retries without end",
        "A job is delivered six times at most.",
        Edit(
            DELIVERY, "if self.claim.attempt_count < self.claim.max_attempts:", "if self.claim.attempt_count < 10**6:"
        ),
        caught_by=("integration/test_jobs.py::test_exhausted_retries_leave_exactly_one_dead_letter",),
    ),
    sabotage(
        "always the first delay",
        "Every retry waits longer than the one before.",
        Edit(RECORDING, "retry_delay(count + 1, scale=scale)", "retry_delay(1, scale=scale)"),
        caught_by=("integration/test_jobs.py::test_a_job_is_tried_six_times_and_waits_longer_every_time",),
    ),
    sabotage(
        "audit in another transaction",
        "The audit says what happened, and nothing that was rolled back.",
        Edit(
            RECORDING,
            '    journal.add_audit(\n        session,\n        "customerio_synced",\n        [journal.audit_of(',
            "    with Session(session.get_bind()) as other, other.begin():\n      journal.add_audit(\n        other,\n"
            '        "customerio_synced",\n        [journal.audit_of(',
        ),
        caught_by=("integration/test_jobs_evidence.py::test_an_outcome_that_is_rolled_back_leaves_no_evidence",),
    ),
    sabotage(
        "dead letter in another transaction",
        "A job fails together with its dead letter.",
        Edit(
            JOURNAL,
            "        session.execute(insert(DeadLetter).on_conflict_do_nothing(), rows)",
            "        with Session(session.get_bind()) as other, other.begin():\n"
            "            other.execute(insert(DeadLetter).on_conflict_do_nothing(), rows)",
        ),
        caught_by=("integration/test_jobs_evidence.py::test_an_outcome_that_is_rolled_back_leaves_no_evidence",),
    ),
    sabotage(
        "no dead letter",
        "What is given up says why.",
        Edit(RECORDING, "    journal.add_dead_letters(session, held, exhausted_retries=exhausted, **error)\n", ""),
        caught_by=("integration/test_jobs.py::test_exhausted_retries_leave_exactly_one_dead_letter",),
    ),
    sabotage(
        "late worker is heard",
        "Only an outcome that was recorded is told.",
        Edit(
            DELIVERY,
            "kept[result.claim]) for result in results if result.claim in kept]",
            "kept.get(result.claim, result.claim)) for result in results]",
        ),
        caught_by=("integration/test_jobs_fence.py::test_a_lost_claim_is_counted_and_announces_no_success",),
    ),
    sabotage(
        "unheard commit forgotten",
        "An outcome whose commit was not answered is recognised, not lost.",
        Edit(DELIVERY, "if again and not kept else []", "if again and kept else []"),
        caught_by=("integration/test_record_retry.py::test_an_outcome_that_was_committed_unheard_is_recognised",),
    ),
    sabotage(
        "database away, outcome dropped",
        "An outcome waits for a database that is away for a moment.",
        Edit("cio_tasks/patience.py", "if not may_pass(error) or not patience.wait():", "if may_pass(error):"),
        caught_by=("integration/test_record_retry.py::test_a_record_whose_backend_was_ended_is_written_all_the_same",),
    ),
    sabotage(
        "no jitter",
        "Workers that wait for the database do not all come back at once.",
        Edit("cio_tasks/patience.py", "random.uniform(longest / 2, longest)", "random.uniform(longest, longest)"),
        caught_by=("unit/test_patience.py::test_workers_that_lost_the_database_together_do_not_come_back_together",),
    ),
    # --- the gate -----------------------------------------------------------------------------------------------------
    sabotage(
        "claims through the gate",
        "While the gate is closed nothing is claimed.",
        Edit("cio_tasks/transitions/claiming.py", "    if not probing:\n", "    if probing:\n"),
        caught_by=("integration/test_gate.py::test_nothing_is_claimed_or_spent_while_the_gate_is_closed",),
    ),
    sabotage(
        "429 closes nothing",
        "A 429 stops all workers, for as long as it asks.",
        Edit(GATE, "closed = Closed(Reason.RATE_LIMIT, asked * scale)", "return None if asked else None"),
        caught_by=("integration/test_gate.py::test_a_429_closes_the_gate_for_as_long_as_it_asks",),
    ),
    sabotage(
        "429 window of our own",
        "A 429 stops all workers, for as long as it asks.",
        Edit(
            GATE,
            "closed = Closed(Reason.RATE_LIMIT, asked * scale)",
            "closed = Closed(Reason.RATE_LIMIT, min(asked, OUTAGE_CLOSED) * scale)",
        ),
        caught_by=("integration/test_gate.py::test_a_429_closes_the_gate_for_as_long_as_it_asks",),
    ),
    sabotage(
        "batch goes on after a 429",
        "Nothing more is sent once a 429 has come.",
        Edit(DELIVERY, "if failed and insist(", "if failed is None and insist("),
        caught_by=("integration/test_delivery.py::test_nothing_more_is_sent_after_a_429_on_the_way",),
    ),
    sabotage(
        "closing shortened",
        "A closing never shortens one that stands.",
        Edit(
            GATE,
            '"closed_until": case((stands, longer), else_=values.excluded.closed_until)',
            '"closed_until": values.excluded.closed_until',
        ),
        caught_by=("integration/test_gate.py::test_a_closing_never_shortens_one_that_stands",),
    ),
    sabotage(
        "401 spends every job",
        "Wrong credentials stop the deliveries; they do not bury what waits.",
        Edit(
            GATE,
            "if code in CREDENTIALS_AT_FAULT and _credentials_fail(session):",
            'if code == "" and _credentials_fail(session):',
        ),
        caught_by=("integration/test_gate_auth.py::test_no_further_job_is_spent_until_the_credentials_work",),
    ),
    sabotage(
        "401 is for ever",
        "What failed because of the credentials runs again when they work.",
        Edit(PROCESSOR, "        transitions.revive_unauthorized(session)\n", "        session.flush()\n"),
        caught_by=("integration/test_gate_auth.py::test_what_failed_with_401_runs_again_when_the_credentials_work",),
    ),
    sabotage(
        "everybody probes",
        "Exactly one worker probes.",
        Edit(GATE, "            func.coalesce(Gate.probing_until, text(\"'-infinity'\")) <= func.now(),\n", ""),
        caught_by=("concurrency/test_gate.py::test_of_twenty_threads_exactly_one_may_probe",),
    ),
    sabotage(
        "probe spends a retry",
        "A bad probe spends nothing.",
        Edit(DELIVERY, "            case RetryLater() if self.probing:\n                return Verdict.DEFERRED\n", ""),
        caught_by=("integration/test_gate_probe.py::test_a_bad_probe_spends_nothing",),
    ),
    # --- what others may know -----------------------------------------------------------------------------------------
    sabotage(
        "error text as it came",
        "No personal value of an answer is stored with an error.",
        Edit(DELIVERY, "detail=redact(outcome.detail, *secrets)", "detail=outcome.detail"),
        caught_by=("integration/test_delivery_privacy.py::test_no_error_text_holds_what_the_reply_echoes",),
    ),
)
