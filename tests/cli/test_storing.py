"""Storing what came in, by whichever door."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from cio_tasks.db import Sessions
from cio_tasks.errors import NotFound
from cio_tasks.intake import (
    ConfirmationIn,
    SignupIn,
    confirm_extraction,
    store_bet_slips,
    submit_signup,
    submit_signups,
)
from cio_tasks.models import Customer, Signup, SyncJob
from cio_tasks.states import JobStatus, Phase
from tests.cli.lines import SLIP
from tests.factories import Factory

AT_ONCE = 8


def signup_in(email: str = "ada@example.com", external_id: str | None = None, **customer: str) -> SignupIn:
    person = {"email": email, "firstName": "Ada", "lastName": "Lovelace", **customer}
    return SignupIn.model_validate({"customer": person, "operatorId": "op-1", "externalId": external_id})


def slip(**fields: Any) -> ConfirmationIn:
    return ConfirmationIn.model_validate(SLIP | fields)


@pytest.fixture
def submit(sessions: Sessions) -> Callable[..., Signup]:
    def submit_one(*arguments: Any, **fields: Any) -> Signup:
        with sessions.begin() as session:
            return submit_signup(session, signup_in(*arguments, **fields))[0]

    return submit_one


@pytest.fixture
def confirm(sessions: Sessions) -> Callable[..., Signup]:
    def confirm_one(signup: Signup, **fields: Any) -> Signup:
        with sessions.begin() as session:
            return confirm_extraction(session, signup.id, slip(**fields))

    return confirm_one


@pytest.mark.row("B1")
def test_a_signup_comes_with_its_initial_job(submit: Callable[..., Signup], make: Factory) -> None:
    job = make.job(submit())
    assert (job.status, job.sync_phase, job.max_attempts, job.attempt_count) == ("pending", "initial", 5, 0)


def test_the_time_of_submission_is_the_databases_unless_given(submit: Callable[..., Signup]) -> None:
    signup = submit()
    assert signup.submitted_at == signup.created_at


def test_a_customer_is_known_by_address_whatever_its_case(submit: Callable[..., Signup], make: Factory) -> None:
    assert submit("Ada@Example.com").customer_id == submit("ADA@example.COM").customer_id
    assert [customer.email for customer in make.all(Customer)] == ["Ada@Example.com"]


def test_the_newest_names_win_and_a_phone_number_stays(submit: Callable[..., Signup], make: Factory) -> None:
    submit(phone="+1 555 0100")
    submit(firstName="Augusta")
    [customer] = make.all(Customer)
    assert (customer.first_name, customer.phone) == ("Augusta", "+1 555 0100")


def test_an_external_id_that_is_there_changes_nothing(sessions: Sessions, make: Factory) -> None:
    with sessions.begin() as session:
        first, is_new = submit_signup(session, signup_in(external_id="x"))
    with sessions.begin() as session:
        again, is_new_again = submit_signup(session, signup_in("other@example.com", "x", firstName="Augusta"))
    assert (first.id, is_new) == (again.id, True)
    assert not is_new_again
    assert [customer.first_name for customer in make.all(Customer)] == ["Ada"]


def test_of_many_senders_of_one_external_id_one_submits(sessions: Sessions, make: Factory) -> None:
    together = Barrier(AT_ONCE)

    def send(number: int) -> bool:
        with sessions.begin() as session:
            together.wait()
            return submit_signup(session, signup_in(f"ada{number}@example.com", "x"))[1]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(send, range(AT_ONCE))) == 1
    assert len(make.all(Signup)) == len(make.all(Customer)) == len(make.all(SyncJob)) == 1


def test_of_many_senders_of_one_new_customer_one_makes_it(sessions: Sessions, make: Factory) -> None:
    together = Barrier(AT_ONCE)

    def send(number: int) -> None:
        with sessions.begin() as session:
            together.wait()
            submit_signup(session, signup_in("ada@example.com" if number % 2 else "ADA@EXAMPLE.COM"))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(send, range(AT_ONCE)))
    assert len(make.all(Customer)) == 1
    assert len(make.all(Signup)) == AT_ONCE


def test_many_at_once_are_as_one_after_the_other(sessions: Sessions, make: Factory) -> None:
    batch = [
        signup_in("ada@example.com", "a", phone="+1 555 0100"),
        signup_in("ADA@example.com", "b", firstName="Augusta"),
        signup_in("grace@example.com", "a"),
        signup_in("joan@example.com"),
        signup_in("joan@example.com"),
    ]
    with sessions.begin() as session:
        stored = submit_signups(session, batch)
    assert [is_new for _, is_new in stored] == [True, True, False, True, True]
    assert stored[0][0] is stored[2][0]
    customers = {customer.email: (customer.first_name, customer.phone) for customer in make.all(Customer)}
    assert customers == {"ada@example.com": ("Augusta", "+1 555 0100"), "joan@example.com": ("Ada", None)}


def test_addresses_that_only_the_database_folds_are_one_customer(
    submit: Callable[..., Signup], sessions: Sessions
) -> None:
    with sessions() as session:
        folds = session.scalar(select(func.lower("É"))) == "é"
    assert (submit("É@example.com").customer_id == submit("é@example.com").customer_id) is folds


@pytest.mark.row("B4")
def test_a_confirmation_owes_the_enriched_job(
    submit: Callable[..., Signup], confirm: Callable[..., Signup], make: Factory
) -> None:
    signup = confirm(submit())
    assert (signup.extraction_version, signup.team_bet_on) == (1, "Rovers")
    assert signup.extraction_confirmed_at is not None
    assert make.job(signup, Phase.ENRICHED).status == JobStatus.PENDING


def test_the_same_confirmation_is_no_new_version(submit: Callable[..., Signup], confirm: Callable[..., Signup]) -> None:
    first = confirm(submit())
    again = confirm(first)
    assert again.extraction_version == 1
    assert again.extraction_confirmed_at == first.extraction_confirmed_at


def test_a_correction_is_a_newer_version_of_a_later_time(
    submit: Callable[..., Signup], confirm: Callable[..., Signup], make: Factory
) -> None:
    first = confirm(submit())
    before = first.extraction_confirmed_at
    second = confirm(first, betAmount=30)
    assert second.extraction_version == 2
    assert before is not None
    assert second.extraction_confirmed_at is not None
    assert second.extraction_confirmed_at > before
    assert make.job(second, Phase.ENRICHED).payload_version == 2


def test_corrections_at_once_are_all_counted(
    submit: Callable[..., Signup], confirm: Callable[..., Signup], make: Factory
) -> None:
    signup = submit()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: confirm(signup, betAmount=number), range(1, AT_ONCE + 1)))
    assert make.all(Signup)[0].extraction_version == AT_ONCE


def test_a_signup_that_does_not_exist_is_not_found(sessions: Sessions) -> None:
    with pytest.raises(NotFound), sessions.begin() as session:
        confirm_extraction(session, uuid4(), slip())


def test_many_bet_slips_go_each_to_its_signup(submit: Callable[..., Signup], sessions: Sessions, make: Factory) -> None:
    signups = [submit(f"ada{number}@example.com") for number in range(3)]
    slips = {signup.id: slip(betAmount=number + 1, odds="'; --") for number, signup in enumerate(signups)}
    with sessions.begin() as session:
        assert [is_changed for _, is_changed in store_bet_slips(session, slips)] == [True, True, True]
    amounts = {signup.id: signup.bet_amount for signup in make.all(Signup)}
    assert [amounts[signup.id] for signup in signups] == [1, 2, 3]
