"""``musterd fields``."""

import json
import re

import pytest

from musterd.cli import main
from musterd.cli.fields import KINDS, TOOL, plain_text
from musterd.declare.options import options_of
from musterd.declare.tools import ToolOptions


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_kind_is_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    expected = list(options_of(KINDS[kind]))
    assert [row["name"] for row in rows] == expected
    assert all(row["meaning"] for row in rows)


def test_a_field_is_printed_with_its_default_and_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "team"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("mode  (default 'coordinate')")
    assert lines[place + 1].startswith("    ")
    assert max(map(len, lines)) <= 100


def test_the_options_of_a_tool_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "tool", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(ToolOptions.__annotations__)
    assert all(row["meaning"] for row in rows.values())
    assert rows["retries"]["default"] == "0"
    assert rows["name"]["default"] is None
    assert main(["fields", "tool"]) == 0
    assert "requires_confirmation  (default False)\n    a person must approve each call." in capsys.readouterr().out


@pytest.mark.parametrize("kind", [*KINDS, TOOL])
def test_meanings_are_plain_text(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", kind]) == 0
    text = capsys.readouterr().out
    assert "`" not in text
    assert not re.search(r":[a-z]+:\w|Agno's default", text)


def test_code_in_a_meaning_stays_apart_from_the_words_around_it() -> None:
    markup = '`pause`, ``retry_safe`` or :class:`musterd.RetryTool` in `pkg.mod:name`; `"route"`'
    assert plain_text(markup) == "'pause', retry_safe or musterd.RetryTool in pkg.mod:name; \"route\""


def test_a_misspelt_kind_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "teem"]) == 2
    assert "did you mean 'team'?" in capsys.readouterr().err
    assert main(["fields", "x"]) == 2
    assert "use one of agent, team, workflow" in capsys.readouterr().err
