"""Summaries of runs: what they say, places in queues, a search in pages, and counts."""

from typing import Any

import pytest

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.queueing import OnBusy
from musterd.core.records import Input, Output, ToolCall
from musterd.core.requirements import Requirement, RequirementKind
from musterd.core.run_summaries import SummarizedRun
from musterd.core.states import RunState
from musterd.store import approvals, run_lists, run_search, run_summaries
from musterd.store.run_lists import RunsQuery
from tests.support.store import NOBODY, Records, member_of, of_run

ALICE = Caller(user_id="alice", label="alice")


async def summary(records: Records, run_id: str) -> SummarizedRun:
    (run,) = await records.database.scan(lambda tx: run_summaries.by_ids(tx, [run_id]))
    return run


async def page(records: Records, caller: Caller = NOBODY, **filters: Any) -> list[str]:
    query = RunsQuery(**filters)
    runs = await records.database.scan(lambda tx: run_lists.page_of_summaries(tx, query, caller))
    return [run.run_id for run in runs]


async def counts(records: Records, caller: Caller = NOBODY, **filters: Any) -> dict[str, int]:
    query = RunsQuery(**filters)
    result = await records.database.scan(lambda tx: run_lists.counts(tx, query, caller))
    by_state = {state.value: count for state, count in result.by_state.items() if count}
    return {**by_state, **({"needs_you": result.needs_you} if result.needs_you else {})}


async def ask(records: Records, root_id: str, run_id: str, tool: str) -> None:
    """Open an approval of a call of a run of the tree."""
    requirement = Requirement(
        id=f"{run_id}-{tool}",
        kind=RequirementKind.CONFIRMATION,
        path="t0/c0",
        tool=ToolCall(id="c1", name=tool, args={}, created_at=1.0),
        run_id=run_id,
        component_kind="agent",
        component_id="helper",
        component_name="Helper",
        created_at=records.now,
    )
    records.now += 1
    await records.database.write(of_run(approvals.add, root_id, requirement))


@pytest.mark.parametrize(
    "text",
    ["hello", 'a "quoted"\nline \\ with é, 日本 and 🎉', "\x00 nul", "x" * 5000, "\ud800 half", '","media":{', ""],
)
async def test_texts_are_those_that_were_said(records: Records, text: str) -> None:
    message = jsontext.storable(text)  # requests with other texts are refused; models may answer anything
    run_input = Input(message=message, options={"metadata": {"long": "y" * 3000}})
    run = await records.started("r1", input=run_input)
    await records.settle(run, output=Output(content=text))
    run_summary = await summary(records, "r1")
    assert (run_summary.input, run_summary.answer) == (message[:200], message[:200])


async def test_an_answer_may_be_an_object_or_missing(records: Records) -> None:
    run = await records.started("r1")
    assert (await summary(records, "r1")).answer is None
    await records.settle(run, output=Output(content={"name": "Ada", "tags": ["x"]}, content_type="Person"))
    assert (await summary(records, "r1")).answer == '{"name":"Ada","tags":["x"]}'
    run = await records.started("r2")
    await records.settle(run, output=Output(content={"text": "z" * 5000}, content_type="Long"))
    assert (await summary(records, "r2")).answer == f'{{"text":"{"z" * 191}'
    run = await records.started("r3")
    await records.settle(
        run, RunState.ERROR, output=Output(content="part", error={"code": "x", "message": "It broke."})
    )
    assert (await summary(records, "r3")).answer == "It broke."


async def test_a_summary_names_its_session_and_what_it_waits_for(records: Records) -> None:
    run = await records.started("r1")
    member = member_of(run, "m1")
    await records.append(run, started=[member])
    assert (await summary(records, "r1")).session_name == "hello r1"
    await records.execute("UPDATE sessions SET name = 'Orders'")
    await ask(records, "r1", "m1", "refund")
    await ask(records, "r1", "r1", "mail")
    root, member_run = await summary(records, "r1"), await summary(records, "m1")
    assert root.question is not None
    assert (root.session_name, root.waiting, root.question.tool.name) == ("Orders", 2, "refund")
    assert (member_run.waiting, member_run.question, member_run.input) == (1, root.question, "a task")
    members = await records.database.scan(of_run(run_summaries.members, "r1"))
    assert [(run.run_id, run.parent_id, run.path) for run in members] == [("m1", "r1", "t0/c0")]


async def test_places_in_queues_are_those_that_a_poll_shows(records: Records) -> None:
    await records.started("at-work")
    for name in ("queued-1", "queued-2"):
        await records.accept(name)
    await records.accept("interrupter", row={"on_busy": OnBusy.INTERRUPT})
    await records.accept("delayed", row={"not_before": 500.0})
    await records.accept("delayed-interrupter", row={"not_before": 500.0, "on_busy": OnBusy.INTERRUPT})
    await records.accept("ready", "s2")
    runs = await records.database.scan(lambda tx: run_lists.page_of_summaries(tx, RunsQuery(), NOBODY))
    assert {run.run_id: run.queue_position for run in runs} == {
        run.run_id: await records.position(run.run_id) for run in runs
    }
    assert {run.run_id for run in runs if run.queue_position is None} == {"at-work"}


# --- search -------------------------------------------------------------------------------------------


async def test_a_search_reads_messages_answers_errors_and_ids(records: Records) -> None:
    error = {"code": "x", "message": "No parcel service", "retryable": True}
    for run_id, message, state, output in (
        ("r1", "Where is my Parcel?", RunState.COMPLETED, Output(content="In Rome")),
        ("r2", "hello", RunState.COMPLETED, Output(content="The parcel is lost")),
        ("r3", "hello", RunState.ERROR, Output(content=None, error=error)),
        ("parcel-4", "hello", RunState.COMPLETED, Output(content='said "yes" 100%')),
        ("r5", "hello", RunState.COMPLETED, Output(content="none", session_state={"word": "parcel"})),
        ("r6", "hello", RunState.COMPLETED, Output(content={"item": "parcel"}, content_type="Item")),
    ):
        run_input = Input(message=message, options={"metadata": {"note": "parcel" if run_id == "r5" else ""}})
        run = await records.started(run_id, f"s-{run_id}", input=run_input)
        await records.settle(run, state, output=output)
    assert await page(records, text="parcel") == ["r6", "parcel-4", "r3", "r2", "r1"], "not what stands beside"
    assert await page(records, text="PARCEL", states={RunState.ERROR}) == ["r3"]
    assert await page(records, text='"yes" 100%') == ["parcel-4"]
    for text in ("100_", "message", "retryable", "content_type", "ull", "%"):
        assert await page(records, text=text) == (["parcel-4"] if text == "%" else []), text
    assert await counts(records, text="parcel") == {"completed": 4, "error": 1}


async def test_a_search_goes_on_where_it_ended(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lists, "SEARCHED_RUNS", 3)
    for number in range(10):
        run = await records.started(
            f"r{number}", f"s{number}", input=Input(message=f"{'even' if number % 2 == 0 else 'odd'}")
        )
        await records.settle(run, RunState.ERROR if number % 3 == 0 else RunState.COMPLETED)
    for states in (None, {RunState.ERROR, RunState.COMPLETED}):
        listed: list[str] = []
        after = None
        for _ in range(20):
            query = RunsQuery(text="even", after=after, states=states, limit=2)
            listed += await page(records, text="even", after=after, states=states, limit=2)
            after = await records.database.scan(lambda tx, query=query: run_lists.search_end(tx, query, NOBODY))  # type: ignore[misc]
            if after is None:
                break
        assert listed == ["r8", "r6", "r4", "r2", "r0"], states
    assert sum((await counts(records, text="even")).values()) == 1, "of the newest three"


def test_a_search_is_bounded() -> None:
    assert run_search.SEARCHED_RUNS == 5_000


# --- counts -------------------------------------------------------------------------------------------


async def test_counts_are_those_of_all_pages(records: Records) -> None:
    for number, state in enumerate((RunState.COMPLETED, RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED)):
        run = await records.started(f"r{number}", f"s{number}", row={"user_id": f"u{number % 2}"})
        await records.settle(run, state)
    run = await records.started("at-work", "s9")
    member = member_of(run, "m1")
    await records.append(run, started=[member])
    await records.accept("waits", "s9", row={"component_kind": "team", "component_id": "desk"})
    await ask(records, "at-work", "m1", "refund")
    everything = {"completed": 2, "error": 1, "cancelled": 1, "running": 1, "queued": 1, "needs_you": 1}
    assert await counts(records) == everything
    assert await counts(records, user_id="u0") == {"completed": 1, "error": 1}
    assert await counts(records, component=("team", "desk")) == {"queued": 1}
    assert await counts(records, session_id="s9") == {"running": 1, "queued": 1, "needs_you": 1}
    assert await counts(records, created_after=records.now + 100) == {}
    assert await counts(records, text="hello") == everything
    assert await page(records, needs_you=True) == ["at-work"]
    assert await page(records, needs_you=True, states={RunState.ERROR}) == []
    await records.execute("UPDATE sessions SET deleted_at = 1.0 WHERE session_id IN ('s0', 's9')")
    assert await counts(records) == {"completed": 1, "error": 1, "cancelled": 1}
    assert await page(records, needs_you=True) == []


async def test_a_user_counts_and_searches_what_is_theirs(records: Records) -> None:
    for run_id, caller in (("r1", ALICE), ("r2", Caller(user_id="bob", label="bob"))):
        await records.accept(run_id, f"s-{run_id}", caller=caller)
        await ask(records, run_id, run_id, "mail")
    assert await counts(records, ALICE) == await counts(records, ALICE, text="hello") == {"ready": 1, "needs_you": 1}
    assert await page(records, ALICE, text="hello") == await page(records, ALICE, needs_you=True) == ["r1"]
