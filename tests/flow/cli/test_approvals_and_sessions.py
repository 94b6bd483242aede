"""``musterd approvals`` and ``musterd sessions`` against a server."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from musterd import Agent, OutcomeUnknown, Step, StepInput, Workflow, tool
from musterd.cli.remote import session_lists
from tests.support.app import Sample, Serve
from tests.support.commands import Command, TalkTo
from tests.support.held_model import HeldModel

PUBLISH = '[[TOOL publish {"title": "Hi", "copies": 2}]]'


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["approve"], "Done: 2 copies of Hi"),
        (["edit", "copies=5"], "5 copies of Hi"),
        (["reject", "--note", "too long"], "too long"),
    ],
)
async def test_a_decision_lets_the_run_go_on(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample, words: list[str], answer: str
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        await musterd("run", "desk", PUBLISH, "--session", "s1")
        ((approval, run_id, status, *_, call),) = (await musterd("approvals", "ls")).rows
        assert (status, call) == ("pending", 'publish(title="Hi", copies=2)')
        printed = await musterd("approvals", "show", approval[:8])
        assert f"run        {run_id}\n" in printed.out
        assert f"musterd approvals approve {approval}" in printed.err
        verb, *options = words
        decided = await musterd("approvals", verb, approval[:8], *options, "--by", "ana")
        assert decided.code == 0
        call = 'publish(title="Hi", copies=5)' if verb == "edit" else call
        assert decided.err.startswith(f"{'rejected' if verb == 'reject' else 'approved'}: {call}\n")
        assert f"call       {call}\n" in (await musterd("approvals", "show", approval)).out
        watched = await musterd("runs", "watch", run_id)
        assert (watched.code, answer in watched.out) == (0, True)
        (row,) = (await musterd("approvals", "ls", "--status", "all", "--json")).json
        assert row["resolved_by"] == "ana"
        assert (await musterd("approvals", verb, approval, *options, "--by", "ana")).code == 0
        other = ["reject", "--note", "another reason"]
        assert (await musterd("approvals", other[0], approval, *other[1:])).code == 1


class Till:
    """An agent whose tool refunds money; nothing tells whether its first call took effect."""

    def __init__(self) -> None:
        self.refunds: list[int] = []

        @tool
        def refund(number: int) -> str:
            """Refund an order."""
            self.refunds.append(number)
            if len(self.refunds) == 1:
                raise OutcomeUnknown("the bank did not answer")
            return f"refunded {number}"

        self.sample = Sample([], [Agent(id="till", name="Till", tools=[refund], model=HeldModel())])


REFUND = '[[TOOL refund {"number": 17}]]'


@pytest.mark.parametrize(
    ("words", "answer", "calls"),
    [
        (["approve", "--again"], "Done: refunded 17", 2),
        (["approve", "--result", "refunded by hand"], "Done: refunded by hand", 1),
        (["reject", "--note", "ask the bank"], "ask the bank", 1),
    ],
)
async def test_a_call_that_was_cut_off_is_repeated_only_if_a_person_says_so(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, words: list[str], answer: str, calls: int
) -> None:
    till = Till()
    async with serve_live(served=till.sample) as server:
        talk_to(server)
        paused = await musterd("run", "till", REFUND)
        assert (paused.code, "cut off, may have happened: refund(number=17)" in paused.err) == (3, True)
        ((approval, run_id, status, *_, call),) = (await musterd("approvals", "ls")).rows
        assert (status, call) == ("pending", "cut off, may have happened: refund(number=17)")
        shown = (await musterd("approvals", "show", approval)).out
        assert "\nkind       the call was cut off, and may have happened already\n" in shown
        assert re.search(r"^began +now \(20\S+Z\)$", shown, re.MULTILINE), shown
        assert "waits for  cut off, may have happened: refund(" in (await musterd("runs", "show", run_id)).out
        (row,) = (await musterd("approvals", "ls", "--json")).json
        assert row["pause_type"] == "unknown_outcome"

        refused = await musterd("approvals", "approve", approval)
        assert (refused.code, refused.out, till.refunds) == (2, "", [17])
        first, *rest = refused.err.splitlines()
        assert first.startswith("musterd: refund(number=17) was cut off, and may have happened already")
        assert [line.split("musterd ")[1] for line in rest if "musterd " in line] == [
            f"approvals approve {approval} --result TEXT",
            f"approvals approve {approval} --again",
            f"approvals reject {approval}",
        ]
        assert (await musterd("approvals", "approve", approval, "--again", "--result", "x")).code == 2

        verb, *options = words
        for _ in range(2):  # the same decision again changes nothing
            assert (await musterd("approvals", verb, approval, *options)).code == 0
        watched = await musterd("runs", "watch", run_id)
        assert (watched.code, answer in watched.out, len(till.refunds)) == (0, True, calls)
        ((*_, call),) = (await musterd("approvals", "ls", "--status", "all")).rows
        assert call == "refund(number=17)"


async def test_again_is_refused_for_a_first_question(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        await musterd("run", "desk", PUBLISH)
        ((approval, *_),) = (await musterd("approvals", "ls")).rows
        refused = await musterd("approvals", "approve", approval, "--again")
        message = 'musterd: publish(title="Hi", copies=2) was not cut off. Approve it without --again.\n'
        assert (refused.code, refused.err) == (2, message)


async def test_a_step_of_a_workflow_is_listed_with_its_message(
    serve_live: Serve, musterd: Command, talk_to: TalkTo
) -> None:
    def send(step_input: StepInput) -> str:
        return "sent"

    send_step = Step(name="send", executor=send, requires_confirmation=True, confirmation_message="Send it to all?")
    plain_step = Step(name="archive", executor=send, requires_confirmation=True)
    trial = Workflow(id="trial", steps=[send_step, plain_step])
    async with serve_live(served=Sample([], [], [trial])) as server:
        talk_to(server)
        await musterd("run", "trial", "go")
        ((approval, run_id, *_, about),) = (await musterd("approvals", "ls")).rows
        assert about == "Send it to all?"
        shown = (await musterd("approvals", "show", approval)).out
        assert re.search(r"^step +send\nmessage +Send it to all\?$", shown, re.MULTILINE), shown
        decided = await musterd("approvals", "approve", approval)
        assert decided.err.startswith("approved: step send\n")
        assert (await musterd("runs", "watch", run_id)).code == 3
        ((*_, about),) = (await musterd("approvals", "ls")).rows
        assert about == "step archive"


async def test_a_change_that_is_none(musterd: Command) -> None:
    wrong = await musterd("approvals", "edit", "a1", "copies")
    assert (wrong.code, wrong.err) == (2, 'musterd: "copies" is not NAME=VALUE, such as copies=3.\n')


@pytest.mark.parametrize(
    ("change", "problem"),
    [("copies=two", 'copies: "two" is not of type "integer"'), ("copy=5", "publish has no field copy; it has copies")],
)
async def test_a_value_that_does_not_fit_is_one_line(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, asking: Sample, change: str, problem: str
) -> None:
    async with serve_live(served=asking) as server:
        talk_to(server)
        await musterd("run", "desk", PUBLISH)
        ((approval, *_),) = (await musterd("approvals", "ls")).rows
        wrong = await musterd("approvals", "edit", approval, change)
        assert wrong.code == 2
        (line,) = wrong.err.splitlines()
        assert line.startswith(f"musterd: {problem}")
        shown = (await musterd("approvals", "show", approval)).out
        assert re.search(r"until +(6 d 23 h|7 d 0 h) left, 20", shown), shown  # of seven days, rounded to seconds


async def test_sessions_are_listed_shown_and_renamed(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", session_id="s1")
        await musterd("sessions", "rename", "s1", "Monday")
        ((session, team, status, runs, *_, name),) = (await musterd("sessions", "ls")).rows
        assert (session, team, status, runs, name) == ("s1", "demo-team", "COMPLETED", "1", "Monday")
        printed = await musterd("sessions", "show", "s1")
        assert printed.out.endswith("\nuser: [[SAY one]]\n\nassistant: one\n")
        assert (await musterd("sessions", "ls", "--search", "Tuesday", "--json")).json == []


async def test_the_last_used_session_is_the_first(serve_live: Serve, musterd: Command, talk_to: TalkTo) -> None:
    async with serve_live() as server:
        talk_to(server)
        for session_id in ("s1", "s2", "s1"):
            await server.run("[[SAY one]]", session_id=session_id)
        assert [row[0] for row in (await musterd("sessions", "ls")).rows] == ["s1", "s2"]
        assert [row[0] for row in (await musterd("sessions", "ls", "--limit", "1")).rows] == ["s1"]


async def test_a_session_is_exported_with_its_runs(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, tmp_path: Path
) -> None:
    async with serve_live() as server:
        talk_to(server)
        for word in ("one", "two"):
            await server.run(f"[[SAY {word}]]", session_id="s1")
        file = tmp_path / "s1.json"
        await musterd("sessions", "export", "s1", "--output", str(file))
        export = json.loads(file.read_text())
        assert export["session"]["session_id"] == "s1"
        assert [run["run"]["content"] for run in export["runs"]] == ["one", "two"]


async def test_a_session_is_not_given_an_empty_name(musterd: Command) -> None:
    refused = await musterd("sessions", "rename", "s1", "")
    assert (refused.code, refused.err) == (2, "musterd: The new name is empty.\n")


async def test_nothing_is_deleted_without_a_yes(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", session_id="s1")
        refused = await musterd("sessions", "rm", "s1")
        assert (refused.code, "--yes" in refused.err) == (2, True)
        assert len((await musterd("sessions", "ls")).rows) == 1
        with monkeypatch.context() as patch:
            patch.setattr(session_lists, "can_ask", lambda: True)
            patch.setattr(sys, "stdin", io.StringIO("n\n"))
            kept = await musterd("sessions", "rm", "s1")
        assert (kept.code, "Delete this session with all runs? [y/N] " in kept.err) == (1, True)
        missing = await musterd("sessions", "rm", "s1", "other", "--yes")
        assert missing.code == 1
        assert (await musterd("sessions", "rm", "s1", "--yes")).code == 0
        assert (await musterd("sessions", "ls", "--json")).json == []


async def test_the_beginning_of_a_session_s_id_continues_it(
    serve_live: Serve, musterd: Command, talk_to: TalkTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_live() as server:
        talk_to(server)
        own = (await server.run("[[SAY one]]"))["session_id"]
        assert (await musterd("run", "demo-team", "[[SAY two]]", "--session", own[:8])).code == 0
        monkeypatch.setattr(sys, "stdin", io.StringIO("[[SAY three]]\n"))
        assert (await musterd("chat", "demo-team", "--session", own[:8])).code == 0
        assert [row[0] for row in (await musterd("sessions", "ls")).rows] == [own]
        for beginning in (own[:2], own):
            listed = await musterd("runs", "ls", "--session", beginning)
            assert [row[5] for row in listed.rows] == ["[[SAY three]]", "[[SAY two]]", "[[SAY one]]"]
        assert (await musterd("run", "demo-team", "[[SAY one]]", "--session", "0badcafe")).code == 0
        sessions = {row[0] for row in (await musterd("sessions", "ls")).rows}
        assert sessions == {own, "0badcafe"}, "an id that a client chooses may look like the beginning of one"
        missing = await musterd("runs", "ls", "--session", "nothing")
        assert (missing.code, missing.err.startswith('musterd: There is no session "nothing".')) == (1, True)


async def test_an_id_that_is_gone_does_not_stand_for_a_longer_one(
    serve_live: Serve, musterd: Command, talk_to: TalkTo
) -> None:
    async with serve_live() as server:
        talk_to(server)
        await server.run("[[SAY one]]", session_id="user-10")
        gone = await musterd("sessions", "rm", "user-1", "--yes")
        message = 'musterd: There is no session "user-1". If you mean user-10, give its whole id.\n'
        assert (gone.code, gone.err) == (1, message)
        own = (await server.run("[[SAY two]]"))["session_id"]
        short = await musterd("sessions", "rm", own[:7], "--yes")
        assert (short.code, short.err.endswith("give its whole id, or at least its first 8 characters.\n")) == (1, True)
        assert (await musterd("sessions", "rm", own[:8], "--yes")).err == f"Deleted {own}.\n"
        assert [row["session_id"] for row in (await musterd("sessions", "ls", "--json")).json] == ["user-10"]
