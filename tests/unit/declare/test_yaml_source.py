"""Declarations in YAML: the same components as from Python, filled from the environment."""

from __future__ import annotations

import re

import pytest

from musterd.declare import load
from musterd.declare.hooks import hook_name
from tests.unit.declare.conftest import Project, refusal

TOOLS = """
    from musterd import tool
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str

    class Desk:
        @staticmethod
        def close(hour: int) -> str:
            return str(hour)

    @tool(retry_safe=True)
    def lookup(word: str) -> str:
        "Look a word up."
        return word
"""
FILE = """
    version: 1
    agents:
      - id: reader
        role: Reads
        tools: ["words:lookup", "words:Desk.close", "sub/more.py:count"]
        tool_call_limit: ${LIMIT:-5}
        session_state: {seen: [1, 2]}
      - name: The Writer
        model: "${WRITER}"
        output_schema: words:Answer
        input_schema: words:Answer
    teams:
      - id: outer
        model: ${MODEL:-scripted}
        members: [inner, the-writer]
        instructions:
          - Be brief
          - Pay in $${US}
        budget: {tokens: 100, cost_usd: 1}
      - id: inner
        members: [reader]
"""


def test_a_file_declares_what_python_does(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITER", "openai:gpt-5-mini")
    project("words.py", TOOLS)
    project("sub/more.py", "def count(words: list[str]) -> int:\n    return len(words)\n")
    project("teams.yaml", FILE)
    registry = load("teams.yaml")
    assert (list(registry.teams), list(registry.agents)) == (["outer", "inner"], ["reader", "the-writer"])
    outer = registry.teams["outer"]
    assert [(member.id, member.model) for member in outer.members] == [
        ("inner", "scripted"),
        ("the-writer", "openai:gpt-5-mini"),
    ]
    reader = registry.agents["reader"]
    assert (reader.model, reader.spec.tool_call_limit) == ("scripted", 5)
    assert [(loaded_tool.name, loaded_tool.retry_safe) for loaded_tool in reader.tools] == [
        ("lookup", True),
        ("close", False),
        ("count", False),
    ]
    assert outer.spec.instructions == ("Be brief", "Pay in ${US}")
    assert outer.spec.budget is not None
    assert outer.spec.budget.as_json() == {"tokens": 100, "cost_usd": 1}
    schema = registry.agents["the-writer"].json_output_schema()
    assert registry.agents["the-writer"].message_schema == schema
    assert schema is not None
    assert schema[0] == "Answer"


def test_a_variable_wins_over_its_default(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "a:b")
    monkeypatch.setenv("TURNS", "7")
    project(
        "t.yml",
        "teams:\n- id: t\n  model: ${MODEL:-c:d}\n  max_turns: ${TURNS}\n  role: ${NONE:-}\nagents:\n",
    )
    spec = load("t.yml").teams["t"].spec
    assert (spec.model, spec.max_turns, spec.role) == ("a:b", 7, None)


def test_anchors_and_merges_work(project: Project) -> None:
    project("t.yaml", "agents:\n- &a {id: a, model: m, role: r}\n- <<: *a\n  id: b\n")
    assert [agent.spec.role for agent in load("t.yaml").agents.values()] == ["r", "r"]


AGENT = "agents:\n- id: a\n  model: m\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t.yaml: the file is empty — declare `agents:` and `teams:`"),
        ("agents: [", "t.yaml:1: this is not valid YAML (expected the node content"),
        ("a: b: c", "t.yaml:1: this is not valid YAML (mapping values are not allowed here)"),
        ("- 1", "t.yaml:1: the file is not a mapping — declare"),
        ("version: 1", "t.yaml:1: no agents, teams or workflows are declared"),
        ("agent: []", "t.yaml:1: the file has no field 'agent' — did you mean 'agents'?"),
        ("version: 2\nagents: []", "t.yaml:1: the file: 'version' is not valid — Input should be 1, not 2"),
        ("agents: x", "t.yaml:1: the file: 'agents' is not valid — Input should be a valid list, not 'x'"),
        ("agents:\n- role: x", "t.yaml:2: agent 1 has neither id nor name — add `id:`"),
        (AGENT + "  modle: x", "t.yaml:4: agent 'a' has no field 'modle' — did you mean 'model'?"),
        (AGENT + "  db: x", "t.yaml:4: agent 'a' has no field 'db' — remove it: musterd keeps every run"),
        (AGENT + "  budget: {toks: 1}", "t.yaml:4: agent 'a' has no field 'toks' — did you mean 'tokens'?"),
        (
            AGENT + "  budget:\n    tokens: 0",
            "t.yaml:4: budget: 'tokens' is 0 — use a whole number, 1 or more",
        ),
        (
            AGENT + "  max_turns: lots",
            "t.yaml:4: agent 'a': 'max_turns' is not valid — Input should be a valid integer",
        ),
        (
            AGENT + "  max_turns: 0",
            "t.yaml:2: agent 'a': 'max_turns' is 0 — use a whole number, 1 or more",
        ),
        (
            AGENT + "  role: yes",
            "t.yaml:4: agent 'a': 'role' is not valid — Input should be a valid string, not True",
        ),
        (AGENT + "  model: n", "t.yaml:4: 'model' is a duplicate key — keep one of them"),
        (
            AGENT + "  role: ${NIX_DA}",
            "t.yaml:4: the environment variable NIX_DA is not set — set it, or write ${NIX_DA:-",
        ),
        (AGENT + "  role: ${1}", "t.yaml:4: '${' does not start a variable — write ${NAME}"),
        (AGENT + "- id: a", "t.yaml:4: the id 'a' is declared twice, first at t.yaml:2 — give one"),
        (
            AGENT + "  tools:\n  - words:lokup",
            "t.yaml:5: 'words:lokup': there is no 'lokup' in words — did you mean 'lookup'?",
        ),
        (AGENT + "  tools:\n  - nix_da:x", "t.yaml:5: there is no module 'nix_da' — looked in"),
        (AGENT + "  tools:\n  - lookup", "t.yaml:5: 'lookup' is not an import path — write it as pkg.mod:name"),
        (AGENT + "  tools:\n  - bad:x", "t.yaml:5: bad.py:1: bad cannot be imported (ZeroDivisionError"),
        (AGENT + "  tools:\n  - words:Answer", "t.yaml:2: agent 'a': a tool is the class Answer"),
        (
            AGENT + "  tools:\n  - mcp:\n      comand: x",
            "t.yaml:6: this MCP server has no field 'comand' — did you mean 'command'?",
        ),
        (AGENT + "  tools:\n  - mcp: {name: a}", "t.yaml:5: MCP server 'a' has neither command nor url"),
        (AGENT + "  tools:\n  - mcp: x", "t.yaml:5: agent 'a': 'tools' is not valid"),
        (AGENT + "  tools:\n  - 7", "t.yaml:5: agent 'a': 'tools' is not valid"),
        (AGENT + "mcp_servers: []", "t.yaml:4: MCP servers cannot be declared in 'mcp_servers' — list each"),
        (AGENT + "  output_schema: words:lookup", "t.yaml:4: 'words:lookup' is not an output schema"),
        (AGENT + "  input_schema: words:lookup", "t.yaml:4: 'words:lookup' is not an input schema"),
        (
            AGENT + "teams:\n- id: t\n  members:\n  - b",
            "t.yaml:7: there is no agent or team 'b' — the file declares 'a', 't'",
        ),
        ("teams:\n- id: t", "t.yaml:2: team 't' has no model — set model="),
    ],
)
def test_a_wrong_line_is_named(project: Project, text: str, says: str) -> None:
    project("words.py", TOOLS)
    project("bad.py", "1 / 0")
    project("t.yaml", text)
    assert refusal("t.yaml").startswith(says)


def test_a_cycle_of_members_is_refused(project: Project) -> None:
    project("t.yaml", "teams:\n- id: a\n  model: m\n  members: [b]\n- id: b\n  members: [a]\n")
    assert refusal("t.yaml") == (
        "t.yaml:4: team 'a' is a member of itself (a → b → a) — remove it from one `members:` list"
    )


def test_a_missing_file_is_named(project: Project) -> None:
    assert re.fullmatch(r"nix\.yaml: the file does not exist — looked for it in /.+", refusal("nix.yaml"))


def test_hooks_are_named_by_import_path(project: Project) -> None:
    hooks = "def look(run_input): ...\ndef late(run_output, weather): ...\n"
    hooks += "class Guard:\n    def check(self, run_input): ...\nguard = Guard()\n"
    project("hooks.py", hooks)
    project("teams.yaml", AGENT + "  pre_hooks: [hooks:look, hooks:guard]\n")
    spec = load("teams.yaml").agents["a"].spec
    assert [hook_name(hook) for hook in spec.pre_hooks or ()] == ["look", "Guard"]
    project("teams.yaml", AGENT + "  post_hooks: [hooks:late]\n")
    assert "the hook 'late' has the unknown parameter 'weather'" in refusal("teams.yaml")


def test_a_memory_manager_is_a_mapping(project: Project) -> None:
    manager = "  memory_manager:\n    model: scripted\n    delete_memories: true\n"
    manager += "    profile_fields:\n      company: Where they work.\n"
    project("t.yaml", AGENT + "  learning: true\n" + manager)
    spec = load("t.yaml").agents["a"].spec
    assert spec.memory_manager is not None
    assert (spec.memory_manager.model, spec.memory_manager.delete_memories) == ("scripted", True)
    assert (spec.learning, spec.memory_manager.profile_fields) == (True, {"company": "Where they work."})
    project("t.yaml", AGENT + "  memory_manager:\n    delete_memory: true\n")
    assert "did you mean 'delete_memories'?" in refusal("t.yaml")
