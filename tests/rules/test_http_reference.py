from tests.rules import tree
from tests.rules.http_reference import PAGE, write_page


def test_the_page_says_what_the_api_says_of_itself() -> None:
    assert tree.text_of(PAGE) == write_page(), "python -m tests.rules.http_reference writes it anew"
