from collections.abc import Iterator

from tests.rules import tree
from tests.rules.tree import Module

OWNERS = {
    "cio_tasks/migrations/env.py": "the migrations' own connection, whose settings and lock outlive each migration",
}
"""Modules that own a session or a connection and end its transaction by hand, each with the reason."""


def commits(module: Module) -> Iterator[str]:
    for call in tree.calls(module):
        if tree.dotted(call.func).endswith(".commit"):
            yield f"{module}:{call.lineno}"


def test_only_the_owner_of_a_session_commits() -> None:
    others = [module for module in tree.product() if module.name not in OWNERS]
    tree.refuse(place for module in others for place in commits(module))


def test_an_owner_that_no_longer_commits_is_removed() -> None:
    assert set(OWNERS) == {module.name for module in tree.product() if module.name in OWNERS and any(commits(module))}


def test_a_commit_on_any_session_is_seen() -> None:
    assert list(commits(tree.read("self.session.commit()")))
    assert list(commits(tree.read("make_session().commit()")))
    assert not list(commits(tree.read("with Session.begin() as session: pass")))
