import ast
import re
from collections import Counter

from cio_tasks.models import SyncJob
from cio_tasks.states import TRANSITIONS, JobStatus, Phase
from tests.rules import tree

PAGE = tree.text_of(tree.ROOT / "docs" / "state_machine.md")
DRAWN = re.compile(r"^ +(\S+) --> (\w+): (\w+)$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (?:`(\w+)`|[^`|]+) \| `(\w+)` \|", re.MULTILINE)
STATE = re.compile(r"^\| `(\w+)` \| [A-Z]", re.MULTILINE)

ARROWS = Counter((arrow.verb, arrow.source or "", arrow.target.value) for arrow in TRANSITIONS)


def test_the_diagram_draws_every_arrow_and_no_other() -> None:
    drawn = Counter((verb, "" if source == "[*]" else source, target) for source, target, verb in DRAWN.findall(PAGE))
    assert drawn == ARROWS


def test_the_table_explains_every_arrow_and_no_other() -> None:
    assert Counter(ROW.findall(PAGE)) == ARROWS


def test_the_page_explains_every_state() -> None:
    assert STATE.findall(PAGE) == [status.value for status in JobStatus]


def test_every_state_can_be_reached_and_left() -> None:
    assert {arrow.target for arrow in TRANSITIONS} == set(JobStatus)
    assert {arrow.source for arrow in TRANSITIONS if arrow.source} == set(JobStatus)


def test_every_verb_is_a_function_of_the_one_writer() -> None:
    writers = [module for module in tree.product() if module.under("cio_tasks/transitions")]
    names = [function.name.lstrip("_") for module in writers for function in tree.functions(module)]
    tree.refuse(arrow.verb for arrow in TRANSITIONS if not any(name.partition(arrow.verb)[0] == "" for name in names))


def test_the_table_of_jobs_knows_the_same_words() -> None:
    conditions = {
        str(rule.name): str(rule.sqltext)
        for rule in SyncJob.metadata.tables[SyncJob.__tablename__].constraints
        if hasattr(rule, "sqltext")
    }
    words = {name.rpartition("jobs_")[2]: set(re.findall(r"'(\w+)'", text)) for name, text in conditions.items()}
    assert words["status_known"] == set(JobStatus)
    assert words["sync_phase_known"] == set(Phase)


def test_every_state_says_in_the_code_what_it_is() -> None:
    (states,) = (module for module in tree.product() if module.name == "cio_tasks/states.py")
    (enum,) = (node for node in states.tree.body if isinstance(node, ast.ClassDef) and node.name == "JobStatus")
    pairs = zip(enum.body, enum.body[1:], strict=False)
    documented = [word for word, text in pairs if isinstance(word, ast.Assign) and isinstance(text, ast.Expr)]
    assert len(documented) == len(JobStatus)
