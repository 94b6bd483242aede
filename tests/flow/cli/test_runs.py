"""``musterd runs`` and ``musterd teams`` against a server."""

import io
import json
import sys
from pathlib import Path

import pytest

from musterd import Team, ToolContext, tool
from musterd.cli.remote import lookups
from tests.support.app import Sample, Serve
from tests.support.commands import Command, TalkTo


async def test_runs_are_listed_newest_first(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        assert (await musterd("runs", "ls")).err.startswith("There are no such runs. Start one: musterd run")
        await server.run("[[SAY one]]", run_id="r-one")
        await server.run("[[ERROR 400]]", run_id="r-two")
        listed = await musterd("runs", "ls")
        assert [row[:3] for row in listed.rows] == [
            ["r-two", "demo-team", "ERROR"],
            ["r-one", "demo-team", "COMPLETED"],
        ]
        assert listed.rows[1][5] == "[[SAY one]]"
        assert listed.err == ""
        failed = await musterd("runs", "ls", "--status", "error", "--json")
        assert [row["run_id"] for row in failed.json] == ["r-two"]
        assert failed.json[0]["created_at"].endswith("Z")
        assert (await musterd("runs", "ls", "--team", "other-team", "--json")).json == []
        assert len((await musterd("runs", "ls", "--limit", "1")).rows) == 1


async def test_a_run_is_shown_by_the_beginning_of_its_id(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        task = "[[DELEGATE writer-agent: <SAY hello> || DELEGATE weather-agent: <SAY hello>]]"
        await server.run(task, run_id="run-1")
        await server.run("[[SAY other]]", run_id="other-1")
        printed = await musterd("runs", "show", "run")
        assert printed.code == 0
        lines = dict(line.split(maxsplit=1) for line in printed.out.splitlines() if "  " in line)
        assert (lines["run"], lines["team"]) == ("run-1", "demo-team")
        members = [line for line in printed.out.splitlines() if line.startswith("member ")]
        assert [line.index("COMPLETED") for line in members] == [26, 26]
        assert printed.out.splitlines()[-1] == "Done: hello | hello"
        assert (await musterd("runs", "show", "run-1", "--json")).json["members"][0]["started_at"].endswith("Z")


async def test_a_run_that_was_begun_again_says_why(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        hold = server.model.hold("wait")
        run = await server.begin("wait", run_id="run-1")
        await hold.reached.wait()
    async with serve_live() as server:
        talk_to(server)
        await server.get(f"/runs/{run.run_id}", wait=60)
        printed = await musterd("runs", "show", "run-1")
        lines = dict(line.split(maxsplit=1) for line in printed.out.splitlines() if "  " in line)
        assert lines["attempts"] == "2: its process was stopped"
        assert "See which steps were repeated: musterd runs steps run-1" in printed.err
        steps = (await musterd("runs", "steps", "run-1")).rows
        assert [row[1] for row in steps if row[-1].endswith(" (started 2 times)")] == ["model"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nightly-9", "Did you mean nightly-1?"), ("zzz", "List them with: musterd runs ls")],
)
async def test_a_run_that_does_not_exist(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, name: str, hint: str
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("hello", run_id="nightly-1")
        missing = await musterd("runs", "show", name)
        assert (missing.code, missing.out) == (1, "")
        assert missing.err == f'musterd: There is no run "{name}". {hint}\n'


async def test_a_beginning_that_several_ids_have(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        for run_id in ("night-1", "night-2"):
            await server.run("hello", run_id=run_id)
        for command in ("show", "watch", "events", "steps", "cancel", "continue", "rerun", "export"):
            several = await musterd("runs", command, "night")
            first, *ids = several.err.splitlines()
            assert (several.code, first) == (2, 'musterd: Several runs begin with "night". Give more of the id:')
            assert sorted(ids) == ["night-1", "night-2"]


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("[[SAY done]]", 0, "COMPLETED"),
        ("[[ERROR 400]]", 1, "The run failed: "),
        ('[[TOOL publish {"title": "Hi", "copies": 2}]]', 3, "musterd approvals show "),
    ],
)
async def test_watching_ends_with_the_code_of_the_runs_end(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample, message: str, code: int, words: str
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        await server.begin(message, to="teams/desk", run_id="r1")
        watched = await musterd("runs", "watch", "r1")
        assert watched.code == code
        assert watched.out == ("done\n" if code == 0 else "")
        assert "News Desk: started" in watched.err
        assert words in watched.err


async def test_events_are_watched_as_lines_of_json(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY done]]", run_id="r1")
        watched = await musterd("runs", "watch", "r1", "--json")
        names = [json.loads(line)["event"] for line in watched.out.splitlines()]
        assert (names[0], names[-1]) == ("TeamRunStarted", "TeamRunCompleted")
        stored = await musterd("runs", "events", "r1", "--json")
        assert stored.out == watched.out
        assert len((await musterd("runs", "events", "r1", "--limit", "2")).out.splitlines()) == 2


async def test_events_with_details_of_a_tools_progress(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    @tool
    def send(context: ToolContext) -> str:
        """Send it."""
        context.progress("on its way", delivery_at=1767225600000, eta_at=60)
        return "sent"

    team = Team(id="desk", name="Desk", members=[], tools=[send], model="scripted")
    async with serve_live(served=Sample([team], [])) as server:
        talk_to(server)
        await server.run("[[TOOL send {}]]", to="teams/desk", run_id="r1")
        for words in (["watch"], ["events"]):
            printed = await musterd("runs", *words, "r1", "--json")
            assert printed.code == 0
            (event,) = [line for line in map(json.loads, printed.out.splitlines()) if line["event"] == "CustomEvent"]
            assert (event["delivery_at"], event["eta_at"], event["at"][-1]) == (1767225600000, 60, "Z")


async def test_steps_are_listed_and_shown(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run('[[TOOL get_weather {"city": "Oslo"}]]', run_id="r1")
        listed = await musterd("runs", "steps", "r1")
        assert ["t0/c0", "tool", "completed"] in [row[:3] for row in listed.rows]
        printed = await musterd("runs", "steps", "r1", "t0/c0")
        assert '{"city": "Oslo"}' in printed.out
        assert printed.out.endswith("\nSunny in Oslo\n")
        await server.run("hello", run_id="my run; ls")
        missing = await musterd("runs", "steps", "my run; ls", "t9")
        assert (missing.code, missing.err) == (
            1,
            "musterd: The run has no step t9. List its steps with: musterd runs steps 'my run; ls'\n",
        )


async def test_a_delegation_names_its_member(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[DELEGATE writer-agent: <SAY hello>]]", run_id="r1")
        listed = await musterd("runs", "steps", "r1")
        (delegation,) = [row for row in listed.rows if row[1] == "delegate"]
        assert delegation[-1] == "delegate_task_to_member to Writer Agent"


async def test_runs_that_come_from_others(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY again]]", run_id="r1")
        rerun = await musterd("runs", "rerun", "r1")
        assert (rerun.code, rerun.out) == (0, "again\n")
        forked = await musterd("runs", "fork", "r1", "t0/m", "--detach")
        assert forked.code == 0
        assert (await musterd("runs", "watch", forked.out.strip())).out == "again\n"
        await server.run("[[ERROR 400]]", run_id="r2")
        assert (await musterd("runs", "continue", "r2")).code == 1


async def paused_run(musterd: Command) -> tuple[str, str]:
    """Start a run that waits for an approval; return the ids of the approval and of the run."""
    await musterd("run", "desk", '[[TOOL publish {"title": "Hi", "copies": 2}]]')
    ((approval, run, *_),) = (await musterd("approvals", "ls", "--status", "pending")).rows
    return approval, run


async def test_only_a_failed_run_is_continued(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        approval, run = await paused_run(musterd)
        paused = await musterd("runs", "continue", run)
        assert (paused.code, paused.out) == (1, "")
        assert f"Run {run} is PAUSED. It goes on by itself after a decision." in paused.err
        assert f"musterd approvals approve {approval}" in paused.err
        assert (await musterd("approvals", "approve", approval)).code == 0
        await musterd("runs", "watch", run)
        completed = await musterd("runs", "continue", run)
        assert (completed.code, completed.out) == (1, "")
        assert completed.err.startswith(f"musterd: Run {run} is COMPLETED. Only a failed run can be continued.\n")
        assert f"musterd runs rerun {run}" in completed.err
        _, second = await paused_run(musterd)
        await musterd("runs", "cancel", second)
        cancelled = await musterd("runs", "continue", second)
        assert f"Run {second} is CANCELLED. Only a failed run can be continued." in cancelled.err
        assert len((await musterd("runs", "ls")).rows) == 2, "nothing was started"


async def test_the_events_of_a_rejected_call_do_not_say_that_it_completed(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        approval, run = await paused_run(musterd)
        await musterd("approvals", "reject", approval, "--note", "too late")
        await musterd("runs", "watch", run)
        events = (await musterd("runs", "events", run)).out.splitlines()
        (ended,) = [line for line in events if "ToolCallCompleted" in line]
        assert ended.endswith('News Desk  publish(title="Hi", copies=2) failed')
        assert any(line.endswith("publish failed: too late") for line in events)


async def test_a_run_that_is_at_work_is_not_continued(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        hold = server.model.hold("hello")
        await server.begin("hello", run_id="r1")
        await hold.reached.wait()
        refused = await musterd("runs", "continue", "r1")
        assert (refused.code, refused.out) == (1, "")
        assert "Watch it: musterd runs watch r1" in refused.err
        await musterd("runs", "cancel", "r1")


async def test_a_run_is_cancelled(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        hold = server.model.hold("hello")
        await server.begin("hello", run_id="r1")
        await hold.reached.wait()
        assert 'There is no run "r". If you mean r1, give its whole id.' in (await musterd("runs", "cancel", "r")).err
        assert (await musterd("runs", "cancel", "r1")).err == "r1 is CANCELLED\n"
        assert (await musterd("runs", "watch", "r1")).code == 130


async def test_a_person_confirms_a_short_beginning_of_the_id_of_a_run_to_cancel(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "can_ask", lambda: True)
    async with serve_live() as server:
        talk_to(server)
        hold = server.model.hold("hello")
        await server.begin("hello", run_id="user-10")
        await hold.reached.wait()
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
        refused = await musterd("runs", "cancel", "user-1")
        assert refused.err == 'There is no run "user-1". Do you mean user-10? [y/N] musterd: Nothing was changed.\n'
        assert (refused.code, (await musterd("runs", "ls")).rows[0][2]) == (1, "RUNNING")
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        assert (await musterd("runs", "cancel", "user-1")).err.endswith("user-10 is CANCELLED\n")


async def test_an_export_goes_to_a_file_of_its_owner(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, tmp_path: Path
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", run_id="r1")
        file = tmp_path / "r1.json"
        written = await musterd("runs", "export", "r1", "--output", str(file))
        assert written.code == 0
        assert f"musterd replay {file} SOURCE" in written.err
        assert json.loads(file.read_text())["run"]["content"] == "one"
        assert file.stat().st_mode & 0o777 == 0o600
        again = await musterd("runs", "export", "r1", "--output", str(file))
        assert (again.code, "--force" in again.err) == (2, True)


async def test_teams_agents_and_workflows_are_one_list(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        listed = await musterd("teams", "ls")
        assert ["demo-team", "team", "2", "A demo team"] in listed.rows
        assert ["solo-agent", "agent"] in [row[:2] for row in listed.rows]
        assert "  writer-agent  Writes text" in (await musterd("teams", "show", "demo-team")).out
        missing = await musterd("teams", "show", "demo-taem")
        assert "Did you mean demo-team" in missing.err


async def test_a_server_that_wants_a_key(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live(security_key="sesame") as server:
        talk_to(server)
        refused = await musterd("runs", "ls")
        assert refused.code == 1
        assert "--token or MUSTERD_TOKEN" in refused.err
        url = str(server.http.base_url)
        await musterd("profile", "add", "here", url, "--token", "sesame")
        listed = await musterd("runs", "ls", "--profile", "here")
        assert (listed.code, "sesame" in listed.err) == (0, False)


async def test_a_server_that_is_not_there(musterd: Command) -> None:
    missing = await musterd("runs", "ls", "--url", "http://127.0.0.1:1")
    assert missing.code == 4
    assert missing.err.startswith("musterd: http://127.0.0.1:1 cannot be reached: ")


@pytest.mark.parametrize(
    "words", [["--url", "nothing"], ["--url", "http://x", "--profile", "p"], ["--profile", "p"], ["--limit", "0"]]
)
async def test_wrong_usage(musterd: Command, words: list[str]) -> None:
    assert (await musterd("runs", "ls", *words)).code == 2


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("runs show _", "run"),
        ("runs watch _", "run"),
        ("runs events _", "run"),
        ("runs steps _", "run"),
        ("runs cancel r1 _", "run"),
        ("runs continue _", "run"),
        ("runs rerun _", "run"),
        ("runs fork _ t0/m", "run"),
        ("runs export _", "run"),
        ("approvals ls --run _", "run"),
        ("approvals show _", "approval"),
        ("approvals approve _", "approval"),
        ("approvals reject _", "approval"),
        ("approvals edit _ copies=3", "approval"),
        ("sessions show _", "session"),
        ("sessions rename _ name", "session"),
        ("sessions export _", "session"),
        ("sessions rm r1 _ --yes", "session"),
        ("teams show _", "team, agent or workflow"),
        ("teams show _ --kind agent", "agent"),
        ("run _ hello", "team, agent or workflow"),
    ],
)
async def test_an_empty_id_is_wrong_usage(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, words: str, kind: str
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", run_id="r1", session_id="r1")
        refused = await musterd(*["" if word == "_" else word for word in words.split()])
        assert (refused.code, refused.out, refused.err) == (2, "", f"musterd: The id of the {kind} is empty.\n")
        assert [row[0] for row in (await musterd("runs", "ls")).rows] == ["r1"]


@pytest.mark.parametrize("command", ["steps", "fork"])
async def test_an_empty_path_is_wrong_usage(serve_live: Serve, musterd: Command, talk_to: TalkTo, command: str) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", run_id="r1")
        refused = await musterd("runs", command, "r1", "")
        assert (refused.code, refused.err) == (2, "musterd: The path of the step is empty.\n")


@pytest.mark.parametrize("command", ["steps", "fork"])
async def test_a_path_without_a_step_leads_to_the_steps(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, command: str
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", run_id="r1")
        refused = await musterd("runs", command, "r1", "t9")
        message = "musterd: The run has no step t9. List its steps with: musterd runs steps r1\n"
        assert (refused.code, refused.err) == (1, message)


async def test_a_run_that_has_finished_is_not_said_to_be_cancelled_now(
    serve_live: Serve, musterd: Command, talk_to: TalkTo
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", run_id="r1")
        assert (await musterd("runs", "cancel", "r1")).err == "r1 had already finished as COMPLETED\n"


async def test_runs_of_a_team_that_is_not_served_any_more(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample
) -> None:
    async with serve_live() as server:
        await server.run("[[SAY one]]", run_id="r-one")
    async with serve_live(served=asking) as server:
        talk_to(server)
        await server.run("[[SAY two]]", run_id="r-two", to="teams/desk")
        assert [row[0] for row in (await musterd("runs", "ls", "--team", "demo-team")).rows] == ["r-one"]
        assert [row[0] for row in (await musterd("runs", "ls", "--team", "desk")).rows] == ["r-two"]
        missing = await musterd("runs", "ls", "--team", "dask")
        assert (missing.code, missing.out) == (2, "")
        assert missing.err == 'musterd: There is no team, agent or workflow "dask". Did you mean desk?\n'
