"""Questions of workflows, wherever a step may have one: what waits for them, and what each decision does."""

from collections.abc import Callable
from typing import Any

import pytest

from musterd import Loop, Parallel, Router, Step, StepInput, Steps, Workflow
from musterd.core.errors import Conflict
from musterd.core.requirements import Verdict
from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.engine.test_workflows import Works, content, decide, waiting, workflow
from tests.support.engine import read_all

CONTAINERS: dict[str, Callable[..., Any]] = {
    "Steps": lambda step, **asks: Steps(name="box", steps=[step], **asks),
    "Parallel": lambda step, **asks: Parallel(step, name="box", **asks),
    "Loop": lambda step, **asks: Loop(name="box", steps=[step], max_iterations=1, **asks),
    "Router": lambda step, **asks: Router(name="box", selector=lambda step_input: step.name, choices=[step], **asks),
}


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize(
    ("on_reject", "verdict", "state", "result"),
    [
        ("skip", Verdict.RUN, RunState.COMPLETED, "go>a>b>c"),
        ("skip", Verdict.REFUSED, RunState.COMPLETED, "go>a>c"),
        ("cancel", Verdict.REFUSED, RunState.CANCELLED, "Workflow cancelled: {kind} 'box' was rejected"),
    ],
)
async def test_a_container_begins_after_a_person_has_confirmed_it(
    file_engines: Engines, works: Works, kind: str, on_reject: str, verdict: Verdict, state: RunState, result: str
) -> None:
    box = CONTAINERS[kind](works.step("b"), requires_confirmation=True, on_reject=on_reject)
    flow = workflow(works.step("a"), box, works.step("c"))
    async with file_engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        (requirement,) = waiting(await first.end_of("r1"))
        assert works.calls == {"a": 1}
    step = requirement["step"]
    assert (step["step_name"], step["step_type"], step["on_reject"]) == ("box", kind, on_reject)
    async with file_engines(workflows=[flow]) as second:
        await decide(second, requirement, verdict)
        view = await second.end_of("r1")
    assert view.output is not None
    assert (view.row.state, view.output.content) == (state, result.format(kind=kind))
    assert works.calls["b"] == (1 if verdict is Verdict.RUN else 0)


PLACES: dict[str, Callable[[Step, Step], Any]] = {
    "branch": lambda ask, other: Parallel(ask, other, name="box"),
    "loop": lambda ask, other: Loop(name="box", steps=[ask], max_iterations=2),
    "choice": lambda ask, other: Router(name="box", selector=lambda step_input: ask.name, choices=[ask, other]),
}


@pytest.mark.parametrize(("place", "colors"), [("branch", ["red"]), ("loop", ["red", "blue"]), ("choice", ["red"])])
async def test_a_person_fills_in_values_below_a_container(
    file_engines: Engines, works: Works, place: str, colors: list[str]
) -> None:
    painted = list[str]()

    def paint(step_input: StepInput) -> str:
        assert step_input.additional_data is not None
        painted.append(step_input.additional_data["user_input"]["color"])
        return painted[-1]

    schema = [{"name": "color", "field_type": "str"}]
    ask = Step(name="paint", executor=paint, requires_user_input=True, user_input_schema=schema)
    flow = workflow(PLACES[place](ask, works.step("other")), works.step("last"))
    async with file_engines(workflows=[flow]) as harness:
        await harness.start("go", "r1")
        view = await harness.end_of("r1")
    for color in colors:
        (requirement,) = waiting(view)
        assert requirement["step"]["step_name"] == "paint"
        async with file_engines(workflows=[flow]) as harness:  # a process of its own
            await decide(harness, requirement, values={"color": color})
            view = await harness.end_of("r1")
    assert view.row.state is RunState.COMPLETED
    assert painted == colors
    assert works.calls["last"] == 1


def both_ask(works: Works) -> Workflow:
    """Two branches that wait for a person."""
    branches = [works.step(name, requires_confirmation=True) for name in ("x", "y")]
    return workflow(Parallel(*branches, name="both"), works.step("last"))


async def test_two_branches_are_decided_one_after_the_other(engines: Engines, works: Works) -> None:
    flow = both_ask(works)
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        x, y = sorted(waiting(await first.end_of("r1")), key=lambda requirement: str(requirement["path"]))
        await decide(first, x)
        (left,) = waiting(await first.end_of("r1"))
        assert left["id"] == y["id"]
        assert works.calls == {"x": 1}
    async with engines(workflows=[flow]) as second:
        await decide(second, x)  # the same decision again
        with pytest.raises(Conflict):
            await decide(second, x, Verdict.REFUSED)
        (left,) = waiting(await second.end_of("r1"))
        assert (left["id"], works.calls) == (y["id"], {"x": 1})
        await decide(second, y)
        assert content(await second.end_of("r1")) == "go>y>last"
        with pytest.raises(Conflict):
            await decide(second, y, Verdict.REFUSED)
    assert works.calls == {"x": 1, "y": 1, "last": 1}


async def test_a_step_that_nobody_decides_about_in_time_ends_the_run(engines: Engines, works: Works) -> None:
    guarded = works.step("b", requires_confirmation=True)
    async with engines(workflows=[workflow(works.step("a"), guarded)], upkeep_seconds=0.02, pause_seconds=0.01) as one:
        await one.start("go", "r1")
        await read_all(one.runs.subscribe("r1"), is_new=False)
        view = await one.end_of("r1")
        rows = await one.records.select("SELECT id, state, status FROM approvals")
        with pytest.raises(Conflict):
            await decide(one, dict(rows[0]))
    assert view.output is not None
    assert view.output.error is not None
    assert (view.row.state, view.output.error["code"]) == (RunState.ERROR, "expired")
    assert [(row["state"], row["status"]) for row in rows] == [("closed", "expired")]
    assert works.calls == {"a": 1}
