"""The page that compares names tests that exist, and leaves no line without its word."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "agno-parity.md"
TABLES, LIST = PAGE.read_text(encoding="utf-8").split("## The same as in Agno\n")
ROWS = [
    *re.findall(r"^\| (?!in Agno|---)(.+?) \| (\w+) \| (.*) \|$", TABLES, flags=re.MULTILINE),
    *((feature, "yes", tests) for feature, tests in re.findall(r"^- (.+): (`test_.*)$", LIST, flags=re.MULTILINE)),
]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The names of all tests and of their files."""
    names: set[str] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        names |= {file.stem, *re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), flags=re.MULTILINE)}
    return names


def test_every_line_says_yes_better_or_later() -> None:
    assert len(ROWS) > 70
    assert {word for _, word, _ in ROWS} == {"yes", "better", "later", "ours"}


@pytest.mark.parametrize(("feature", "word", "how"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_what_is_there_names_its_test(feature: str, word: str, how: str, known: set[str]) -> None:
    named = re.findall(r"`(test_\w+)`", how)
    assert not set(named) - known, f"{feature}: no such test"
    if word == "yes":
        assert named, f"{feature}: which test shows it?"
    if word == "better":
        assert how.strip(), f"{feature}: how?"
