"""Folders with users' files."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Protocol

import pytest

from musterd.core.errors import DeclarationError
from musterd.declare import load

if TYPE_CHECKING:
    from pathlib import Path


class Project(Protocol):
    """Writes a file of a user's project and gives its path."""

    def __call__(self, name: str, text: str) -> Path: ...


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A user's project: the working directory, with nothing of it imported yet."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def refusal(source: str) -> str:
    """The line that loading ``source`` ends with."""
    with pytest.raises(DeclarationError) as caught:
        load(source)
    assert "\n" not in caught.value.message
    return caught.value.message
