from cio_tasks.cli.faults import Exit
from tests.rules import tree
from tests.rules.cli_reference import MEANINGS, PAGE, write_page


def test_the_page_says_what_the_commands_say_of_themselves() -> None:
    assert tree.text_of(PAGE) == write_page(), "python -m tests.rules.cli_reference writes it anew"


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)
