"""What an export has for a replay, on each database."""

import json
from typing import Any

from musterd import Agent, Team, tool
from musterd.core.media import content_hash
from musterd.core.requirements import Decision, Verdict
from musterd.http.run_export import export_parts
from musterd.service.run_ref import RunRef
from musterd.store import blobs
from musterd.testing import replay_async
from tests.engine.conftest import Engines
from tests.engine.test_run_forks import fork
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import of_run


async def exported(harness: EngineHarness, run_id: str) -> dict[str, Any]:
    """The export of a run."""
    ref = RunRef(harness.component(), run_id, None, NOBODY)
    details = await harness.server.details.details(run_id)
    source = await harness.server.details.replay_source(details.root)
    parts = [part async for part in export_parts(harness.server, ref, details, source)]
    export: dict[str, Any] = json.loads(b"".join(parts))
    return export


async def test_the_runs_that_a_run_and_its_members_were_shown(engines: Engines, model: HeldModel) -> None:
    writer = Agent(id="writer", add_history_to_context=True)
    team = Team(id="desk", members=[writer], model=model, add_history_to_context=True, add_team_history_to_members=True)
    async with engines(teams=[team]) as harness:
        first = await harness.run("Ask. [[DELEGATE writer: <SAY one>]]")
        second = await harness.run("Ask. [[DELEGATE writer: <SAY two>]]")
        export = await exported(harness, second.row.run_id)
    replay = export["replay"]
    assert (replay["opens_session"], replay["input"]["message"]) == (False, "Ask. [[DELEGATE writer: <SAY two>]]")
    assert [run["run_id"] for run in replay["history"]] == [first.row.run_id]
    assert "one" in json.dumps(replay["member_history"]["agent:writer"])
    assert "one" in json.dumps(replay["team_history"])
    assert (await replay_async(export, team)).steps == len(export["steps"])


async def test_decisions_about_calls_that_a_fork_took_over(engines: Engines, model: HeldModel) -> None:
    @tool(requires_confirmation=True)
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    agent = Agent(id="shop", model=model, tools=[pay])
    async with engines(agents=[agent]) as harness:
        paused = await harness.run('Ask. [[TOOL pay {"amount": 1}]]', "r1")
        assert paused.output is not None
        (requirement,) = paused.output.requirements
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN, values={"amount": 2})
        await harness.runs.decide(RunRef(harness.component(), "r1", None, NOBODY), [decision])
        await harness.end_of("r1")
        row = await fork(harness, "r1", from_step="t1/m")
        await harness.end_of(row.run_id)
        export = await exported(harness, row.run_id)
    (question,) = export["replay"]["questions"]
    assert question["decision"]["values"] == {"amount": 2}
    assert (await replay_async(export, agent)).steps == len(export["steps"])


async def test_an_export_has_only_contents_of_its_session(engines: Engines, model: HeldModel) -> None:
    """A model can write what looks like a reference to another user's file."""
    content = b"private"
    async with engines(agents=[Agent(id="solo", model=model)]) as harness:
        await harness.run("Hello.", "r1", "s1")
        await harness.run("Hello.", "r2", "s2")
        await harness.database.write(of_run(blobs.put, "r1", [content], 1.0))
        assert await harness.server.details.content("s1", content_hash(content)) == content
        assert await harness.server.details.content("s2", content_hash(content)) is None
