import ast
import re
from collections.abc import Iterator

import pytest

from tests.rules import tree
from tests.rules.tree import Module

WRITER = "cio_tasks/transitions"
KNOWS_NO_DATABASE = ("cio_tasks/customerio", "cio_tasks/fake")
"""A `status` there is that of an HTTP reply; the import contracts keep the models out."""
RAW_UPDATE = re.compile(r"(update|insert\s+into)\s+\"?signup_customerio_sync_jobs", re.IGNORECASE)


def writes(module: Module) -> Iterator[str]:
    """Yield the places that set the status of a job, or may."""
    for node in ast.walk(module.tree):
        if any(_is_status_of_another(target) for target in _targets(node)):
            yield f"{module}:{node.lineno} assigns .status"  # type: ignore[attr-defined]
        elif isinstance(node, ast.Call) and _call_writes(node):
            yield f"{module}:{node.lineno} writes status through {ast.unparse(node.func)}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and RAW_UPDATE.search(node.value):
            yield f"{module}:{node.lineno} writes jobs in SQL"


def _targets(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Assign(targets=targets):
            return [inner for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Attribute)]
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
            return [target]
        case _:
            return []


def _is_status_of_another(target: ast.expr) -> bool:
    """`self.status` belongs to an exception or a reply: the model declares its columns and assigns none."""
    return isinstance(target, ast.Attribute) and target.attr == "status" and tree.dotted(target.value) != "self"


def _call_writes(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id="setattr"):
            return any(_names_status(argument) for argument in call.args[1:2])
        case ast.Name(id="SyncJob") | ast.Attribute(attr="SyncJob"):
            return _sets_status(call)
        case ast.Name(id="update_jobs") | ast.Attribute(attr="update_jobs"):
            return True
        case ast.Attribute(value=statement, attr="values" | "update"):
            return _sets_status(call) and _model_of(statement) in {None, "SyncJob"}
        case _:
            return False


def _sets_status(call: ast.Call) -> bool:
    mappings = [argument for argument in call.args if isinstance(argument, ast.Dict)]
    keys = [key for mapping in mappings for key in mapping.keys if key is not None]
    return any(keyword.arg == "status" for keyword in call.keywords) or any(_names_status(key) for key in keys)


def _names_status(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value == "status") or tree.dotted(node) == "SyncJob.status"


def _model_of(statement: ast.expr) -> str | None:
    """Return the model at the root of a statement such as `update(Model).where(...)`; None when it cannot be told."""
    while isinstance(statement, ast.Call) and isinstance(statement.func, ast.Attribute):
        statement = statement.func.value
    match statement:
        case ast.Call(func=ast.Name(), args=[ast.Name(id=model), *_]):
            return model
        case _:
            return None


def test_only_transitions_writes_the_status_of_a_job() -> None:
    others = [module for module in tree.product() if not module.under(WRITER, *KNOWS_NO_DATABASE)]
    tree.refuse(place for module in others for place in writes(module))


@pytest.mark.parametrize(
    "source",
    [
        "job.status = JobStatus.FAILED",
        "job.status, job.note = JobStatus.FAILED, ''",
        "find_job().status = 'failed'",
        "setattr(job, 'status', 'failed')",
        "update(SyncJob).where(SyncJob.id == id).values(status='failed')",
        "update(SyncJob).values({SyncJob.status: 'failed'})",
        "session.query(SyncJob).update({'status': 'failed'})",
        "insert(SyncJob).values(status='pending')",
        "statement.values(status='pending')",
        "SyncJob(signup_id=signup.id, status='pending')",
        "update.update_jobs(session, guard, **values)",
        "text('UPDATE signup_customerio_sync_jobs SET status = :status')",
    ],
)
def test_a_write_in_any_form_is_seen(source: str) -> None:
    assert list(writes(tree.read(source)))


@pytest.mark.parametrize(
    "source",
    [
        "self.status = status",
        "if job.status == JobStatus.FAILED: pass",
        "select(SyncJob).where(SyncJob.status == 'failed')",
        "list_jobs(status='failed')",
        "update(WebhookEvent).values(status='stored')",
        "update(SyncJob).values(manual_retry=True)",
    ],
)
def test_reading_a_status_is_not_writing_one(source: str) -> None:
    assert not list(writes(tree.read(source)))
