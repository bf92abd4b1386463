"""The gate: reading it, and an operator's closing and opening."""

from datetime import timedelta
from typing import Final

from flask import Blueprint, Response

from api.auth import Action, caller, requires
from api.job_bodies import CloseGate, NoQuery
from api.job_schemas import GateState
from api.operations import answer, operation
from api.sessions import current_sessions, transaction
from cio_tasks import operations, stats

gate: Final = Blueprint("gate", __name__, url_prefix="/api/v1/signups/customerio/gate")


@gate.get("")
@requires(Action.READ)
@operation("Tell whether deliveries may run, and what stops them.", query=NoQuery, answers={200: GateState})
def show(query: NoQuery) -> Response:  # noqa: ARG001 - it is read so that a mistyped parameter is refused
    """Return the state of the gate."""
    return _state()


@gate.post("/close")
@requires(Action.OPERATE)
@operation("Stop all deliveries; what is on its way is finished.", body=CloseGate, answers={200: GateState})
def close(body: CloseGate) -> Response:
    """Close the gate, for some seconds or until somebody opens it."""
    wait = None if body.seconds is None else timedelta(seconds=body.seconds)
    operations.close_gate(current_sessions(), actor=caller().name, note=body.reason, wait=wait)
    return _state()


@gate.post("/open")
@requires(Action.OPERATE)
@operation("Let deliveries run again, whatever stopped them.", query=NoQuery, answers={200: GateState})
def open_up(query: NoQuery) -> Response:  # noqa: ARG001 - as above
    """Open the gate."""
    operations.open_gate(current_sessions(), actor=caller().name)
    return _state()


def _state() -> Response:
    with transaction() as session:
        return answer(GateState.model_validate(stats.read_gate(session)))
