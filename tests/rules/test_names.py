import ast
from pathlib import PurePosixPath

from tests.rules import tree

VAGUE = {"utils", "util", "helpers", "helper", "common", "services", "service", "misc"}


def vague_parts(name: str) -> set[str]:
    return VAGUE & set(PurePosixPath(name).with_suffix("").parts)


def test_no_module_has_a_name_that_says_nothing() -> None:
    tree.refuse(module.name for module in (*tree.product(), *tree.tests()) if vague_parts(module.name))


def test_a_vague_folder_counts_as_much_as_a_vague_file() -> None:
    assert vague_parts("api/utils/dates.py") == {"utils"}
    assert vague_parts("cio_tasks/helpers.py") == {"helpers"}
    assert not vague_parts("cio_tasks/gate.py")


def test_every_module_that_says_anything_says_first_what_it_is() -> None:
    spoken = [module for module in tree.product() if module.tree.body]
    tree.refuse(module.name for module in spoken if not ast.get_docstring(module.tree))
