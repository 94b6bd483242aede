"""Scopes: what they allow, for all and for one, and what only looks like one."""

import pytest

from musterd.core.scopes import EVERYTHING, Scopes, is_scope


@pytest.mark.parametrize(
    "granted, scope, resource_id, is_allowed",
    [
        ("teams:run", "teams:run", None, True),
        ("teams:run", "teams:run", "desk", True),
        ("teams:*:run", "teams:run", None, True),
        ("teams:*:run", "teams:run", "desk", True),
        ("teams:desk:run", "teams:run", "desk", True),
        ("teams:a:b:run", "teams:run", "a:b", True),
        ("agent_os:admin", "teams:run", "desk", True),
        ("agent_os:admin", "agent_os:admin", None, True),
        ("teams:desk:run", "teams:run", None, False),
        ("teams:desk:run", "teams:run", "other", False),
        ("teams:desk:read", "teams:run", "desk", False),
        ("teams:read", "teams:run", None, False),
        ("agents:run", "teams:run", None, False),
        ("agent_os:*:admin", "agent_os:admin", None, False),
        ("agent_os:desk:admin", "agent_os:admin", "desk", False),
        ("*:run", "teams:run", None, False),
        ("*", "teams:run", None, False),
        ("TEAMS:RUN", "teams:run", None, False),
        (" teams:run", "teams:run", None, False),
        ("teams::run", "teams:run", "", True),
        ("teams::run", "teams:run", None, False),
    ],
)
def test_what_a_scope_allows(granted: str, scope: str, resource_id: str | None, is_allowed: bool) -> None:
    assert Scopes.of([granted]).allows(scope, resource_id) is is_allowed


def test_nothing_and_everything() -> None:
    assert not Scopes().allows("teams:run")
    assert EVERYTHING.allows("teams:run")
    assert EVERYTHING.allows_some("teams", ["run"])
    assert EVERYTHING.is_admin


def test_some_of_them() -> None:
    scopes = Scopes.of(["teams:desk:run", "agents", "sessions:read", 7])
    assert scopes.allows_some("teams", ["read", "run"])
    assert not scopes.allows_some("teams", ["read"])
    assert not scopes.allows_some("agents", ["read", "run"])


@pytest.mark.parametrize("text", ["teams:run", "teams:desk:run", "teams:*:run", "teams:a:b:run", "agent_os:admin"])
def test_the_form_of_a_scope(text: str) -> None:
    assert is_scope(text)


@pytest.mark.parametrize("text", ["", "teams", ":", "teams:", ":run", "teams::run", "a b:c", "a:\n", "x:" + "y" * 600])
def test_what_is_no_scope(text: str) -> None:
    assert not is_scope(text)
