"""The collector rests while something holds it, and is as it was after."""

import gc
import sys
from collections.abc import Iterator

import pytest

from musterd.cli import main
from musterd.core import garbage_collection


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.enable()


def test_it_rests_until_the_last_one_lets_go() -> None:
    frozen = gc.get_freeze_count()
    for by in ("a", "b"):
        garbage_collection.pause(by)
    garbage_collection.freeze_and_resume("a")
    garbage_collection.resume("a")
    assert not gc.isenabled()
    garbage_collection.resume("b")
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen, "what was there is not looked at again"


def test_one_that_was_off_stays_off() -> None:
    gc.disable()
    garbage_collection.pause("a")
    garbage_collection.resume("a")
    assert not gc.isenabled()


def test_a_command_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def command(arguments: list[str] | None) -> int:
        seen.append(gc.isenabled())
        return 0

    monkeypatch.setattr(sys.modules["musterd.cli.main"], "app", command)
    assert main([]) == 0
    assert (seen, gc.isenabled()) == ([False], True)
