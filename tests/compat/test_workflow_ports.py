"""Workflows that are ported by a change of imports: each program runs with Agno and here, with the same results.

For Agno, the model that is the string ``"scripted"`` here becomes an object that follows the same directives.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from musterd.declare.python_source import import_file
from tests.compat.conftest import PYTHON, missing
from tests.support.app import Sample, app_on, copied_file, in_process

if TYPE_CHECKING:
    from musterd import Workflow

PROGRAMS = sorted((Path(__file__).parent / "ports").glob("*.py"))
AGNO_SECONDS = 120
IN_AGNO = """
import json, re, sys
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.response import ModelResponse

class Scripted(Model):
    def invoke(self, messages, **options):
        results = [message.get_content_string() for message in messages if message.role == "tool"]
        text = next(message.get_content_string() for message in reversed(messages) if message.role == "user")
        call = re.fullmatch(r"\\[\\[TOOL (\\w+) (.*)\\]\\]", text)
        if results:
            return ModelResponse(role="assistant", content="Done: " + " | ".join(results))
        if call is None:
            return ModelResponse(role="assistant", content="Echo: " + text)
        function = {"name": call[1], "arguments": call[2]}
        tool_calls = [{"id": "call_1", "type": "function", "function": function}]
        return ModelResponse(role="assistant", tool_calls=tool_calls)

    async def ainvoke(self, *args, **options):
        return self.invoke(*args, **options)

    invoke_stream = ainvoke_stream = _parse_provider_response = _parse_provider_response_delta = None

program = {"SCRIPTED": Scripted(id="scripted")}
text = sys.stdin.read().replace("from musterd import", "from agno.workflow import")
exec(text.replace('"scripted"', "SCRIPTED"), program)
workflow = program["workflow"]
workflow.db = InMemoryDb()
for message in program["MESSAGES"]:
    run = workflow.run(message, session_id="s")
    print("RUN", json.dumps(run.to_dict(), default=str))
"""


def results_in_agno(program: Path) -> list[dict[str, Any]]:
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    ended = subprocess.run(
        [PYTHON, "-c", IN_AGNO],
        input=program.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=AGNO_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line.removeprefix("RUN ")) for line in ended.stdout.splitlines() if line.startswith("RUN ")]


async def results_here(program: Path, database: Path) -> list[dict[str, Any]]:
    workflow: Workflow = import_file(program).workflow
    app = app_on(database, served=Sample([], [], [workflow]))
    async with in_process(app, None) as client:
        path, fields = f"/workflows/{workflow.id}/runs", {"session_id": "s", "stream": "false"}
        return [
            (await client.http.post(path, data={**fields, "message": message})).json()
            for message in import_file(program).MESSAGES
        ]


def steps_of(results: Any) -> list[dict[str, Any]]:
    """What the steps of a run said. Agno has the results of iterations in lists of their own."""
    flat = [step for item in results or () for step in (item if isinstance(item, list) else [item])]
    fields = ("step_name", "step_type", "content", "success", "stop")
    return [{**{name: step[name] for name in fields}, "steps": steps_of(step.get("steps"))} for step in flat]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
async def test_a_program_of_agno_has_the_same_results_after_a_change_of_imports(
    program: Path, template: Path, tmp_path: Path
) -> None:
    theirs = results_in_agno(program)
    ours = await results_here(program, copied_file(template, tmp_path))
    for their, our in zip(theirs, ours, strict=True):
        assert steps_of(our["step_results"]) == steps_of(their.get("step_results"))
        assert (our["status"], our["content"]) == (their["status"], their["content"])
