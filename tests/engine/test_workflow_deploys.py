"""Deploys that change a workflow while a run of it is unfinished: nothing that is stored is dropped or done again."""

from collections.abc import Callable
from typing import Any

import pytest

from musterd import Condition, Loop, Parallel, Router, Steps, Workflow
from musterd.core.records import RunView
from musterd.core.requirements import Verdict
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.engine.test_workflows import Works, content, decide, waiting, workflow
from tests.support.crashes import check_each_event_once
from tests.support.engine import NOBODY, EngineHarness


@pytest.fixture
def works() -> Works:
    return Works()


def diverged(view: RunView) -> str:
    """The message of a run that a deploy has ended."""
    assert view.row.state is RunState.ERROR
    assert view.output is not None
    assert view.output.error is not None
    assert view.output.error["code"] == "replay_diverged", view.output.error
    return str(view.output.error["message"])


async def polled(harness: EngineHarness) -> RunView:
    """The run as a client gets it."""
    return await harness.runs.settled_view(RunRef(harness.component(), "r1", None, NOBODY), 0)


def step_names(view: RunView) -> list[str]:
    return [] if view.output is None else [step["step_name"] for step in view.output.step_results]


async def test_a_deploy_may_change_steps_that_were_not_reached(file_engines: Engines, works: Works) -> None:
    a, b = works.step("a"), works.step("b", retry_safe=True)
    async with file_engines(workflows=[workflow(a, b, works.step("old"))]) as first:
        await works.cut_off(first, "b")
    async with file_engines(workflows=[workflow(a, b, works.step("new"), works.step("more"))]) as second:
        assert content(await second.end_of("r1")) == "go>a>b>new>more"


async def test_a_deploy_that_changes_what_is_stored_ends_the_run_and_names_the_step(
    file_engines: Engines, works: Works
) -> None:
    a, b = works.step("a"), works.step("b", retry_safe=True)
    async with file_engines(workflows=[workflow(a, b)]) as first:
        await works.cut_off(first, "b")
    async with file_engines(workflows=[workflow(works.step("inserted"), a, b)]) as second:
        view = await second.end_of("r1")
    assert "('a')" in diverged(view)


async def test_a_deploy_that_removes_a_stored_step_ends_the_run_and_names_the_step(
    file_engines: Engines, works: Works
) -> None:
    a, b = works.step("a"), works.step("b", retry_safe=True)
    async with file_engines(workflows=[workflow(a, b)]) as first:
        await works.cut_off(first, "b")
    async with file_engines(workflows=[workflow(a)]) as second:
        view = await second.end_of("r1")
    assert "s1 ('b')" in diverged(view)


@pytest.mark.parametrize("chooser", ["function", "person"])
async def test_a_deploy_that_renames_a_chosen_step_ends_the_run_and_names_it(
    engines: Engines, works: Works, chooser: str
) -> None:
    def flow(name: str) -> Workflow:
        options: dict[str, Any] = {"requires_user_input": True}
        if chooser == "function":
            options = {"selector": lambda step_input: name}
        choices = [works.step(name, requires_confirmation=True), works.step("other")]
        return workflow(Router(name="way", choices=choices, **options))

    async with engines(workflows=[flow("old")]) as first:
        (requirement,) = waiting(await first.run("go", "r1"))
        if chooser == "person":
            await decide(first, requirement, values={"selected_choices": ["old"]})
            (requirement,) = waiting(await first.end_of("r1"))
    async with engines(workflows=[flow("new")]) as second:
        assert step_names(await polled(second)) == []
        await decide(second, requirement)
        await second.end_of("r1")
        view = await polled(second)
    assert diverged(view).endswith("step s0 ('way') chose 'old', which is no longer declared.")
    assert works.calls == {}


async def test_a_deploy_that_shortens_a_loop_keeps_the_iterations_that_were_begun(
    engines: Engines, works: Works
) -> None:
    def flow(max_iterations: int) -> Workflow:
        more = works.step("more", retry_safe=True)
        loop = Loop(name="again", steps=[more], max_iterations=max_iterations, forward_iteration_output=True)
        return workflow(loop, works.step("last", requires_confirmation=True))

    works.passes["more"] = 2
    async with engines(workflows=[flow(5)]) as first:
        await works.cut_off(first, "more")
    async with engines(workflows=[flow(1)]) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        assert step_names(await polled(second)) == ["again"]
        await decide(second, requirement)
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert content(view) == "go>more>more>more>last"
    assert works.calls == {"more": 4, "last": 1}
    check_each_event_once(events)


Change = Callable[[Works], tuple[list[Any], list[Any]]]
"""The steps before and after a deploy; the run is cut off in the step ``here``."""


def here(works: Works) -> Any:
    return works.step("here", retry_safe=True)


def regrouped(works: Works) -> tuple[list[Any], list[Any]]:
    return [works.step("pay"), here(works)], [Steps(name="pay", steps=[works.step("pay")]), here(works)]


def ungrouped(works: Works) -> tuple[list[Any], list[Any]]:
    before, after = regrouped(works)
    return after, before


def made_parallel(works: Works) -> tuple[list[Any], list[Any]]:
    steps = [works.step("pay"), here(works)]
    return [Steps(name="both", steps=steps)], [Parallel(*steps, name="both")]


def made_a_loop(works: Works) -> tuple[list[Any], list[Any]]:
    steps = [works.step("pay"), here(works)]
    return [Parallel(*reversed(steps), name="both")], [Loop(name="both", steps=steps, max_iterations=1)]


def without_else(works: Works) -> tuple[list[Any], list[Any]]:
    options: dict[str, Any] = {"name": "if", "evaluator": False, "steps": [works.step("then")]}
    return [Condition(**options, else_steps=[works.step("pay"), here(works)])], [Condition(**options)]


@pytest.mark.parametrize("change", [regrouped, ungrouped, made_parallel, made_a_loop, without_else])
async def test_a_deploy_that_moves_a_stored_step_ends_the_run(
    file_engines: Engines, works: Works, change: Change
) -> None:
    before, after = change(works)
    async with file_engines(workflows=[workflow(*before)]) as first:
        await works.cut_off(first, "here")
    async with file_engines(workflows=[workflow(*after)]) as second:
        view = await second.end_of("r1")
    assert diverged(view).endswith("is stored and no longer declared.")
    assert works.calls == {"pay": 1, "here": 1}, "nothing is done again"


async def test_a_deploy_that_allows_fewer_tries_keeps_those_that_were_begun(
    file_engines: Engines, works: Works
) -> None:
    def flow(max_retries: int) -> Workflow:
        return workflow(works.step("bad", max_retries=max_retries, retry_safe=True), works.step("last"))

    works.fails, works.passes["bad"] = {"bad"}, 2
    async with file_engines(workflows=[flow(3)]) as first:
        await works.cut_off(first, "bad")
    works.fails = set()
    async with file_engines(workflows=[flow(0)]) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert content(view) == "go>bad>last"
    assert works.calls == {"bad": 4, "last": 1}
    check_each_event_once(events)


async def test_a_deploy_that_asks_about_a_step_asks_no_run_that_has_begun_it(
    file_engines: Engines, works: Works
) -> None:
    def flow(**options: Any) -> Workflow:
        group = Steps(name="group", steps=[works.step("first", **options), here(works)], **options)
        return workflow(group, works.step("last", **options))

    async with file_engines(workflows=[flow()]) as first:
        await works.cut_off(first, "here")
    async with file_engines(workflows=[flow(requires_confirmation=True)]) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        assert requirement["step"]["step_name"] == "last"
        await decide(second, requirement)
        assert content(await second.end_of("r1")) == "go>first>here>last"
    assert works.calls == {"first": 1, "here": 2, "last": 1}


async def test_a_step_that_a_person_rejected_is_not_made_after_a_deploy_that_does_not_ask(
    file_engines: Engines, works: Works
) -> None:
    def flow(**options: Any) -> Workflow:
        return workflow(works.step("first"), works.step("guarded", **options), works.step("last"))

    async with file_engines(workflows=[flow(requires_confirmation=True)]) as first:
        (requirement,) = waiting(await first.run("go", "r1"))
    async with file_engines(workflows=[flow()]) as second:
        await decide(second, requirement, Verdict.REFUSED)
        assert content(await second.end_of("r1")) == "go>first>last"
    assert works.calls == {"first": 1, "last": 1}


async def test_a_function_that_calls_fewer_steps_after_a_deploy_ends_the_run(
    file_engines: Engines, works: Works
) -> None:
    steps = {name: works.step(name).executor for name in ("pay", "here")}

    def flow(*names: str) -> Workflow:
        async def whole(workflow: Any, execution_input: Any) -> str:
            for name in names:
                await workflow.step(name, steps[name], retry_safe=True)
            return "done"

        return Workflow(id="flow", steps=whole)

    async with file_engines(workflows=[flow("pay", "here")]) as first:
        await works.cut_off(first, "here")
    async with file_engines(workflows=[flow("pay")]) as second:
        view = await second.end_of("r1")
    assert "step s1 ('here') is stored and no longer declared" in diverged(view)


@pytest.mark.parametrize("was_router", [False, True])
async def test_a_deploy_that_chooses_in_another_way_ends_the_run(
    file_engines: Engines, works: Works, was_router: bool
) -> None:
    def flow(is_router: bool) -> Workflow:
        guarded = works.step("guarded", requires_confirmation=True)
        if is_router:
            way: Any = Router(name="way", selector=lambda step_input: "guarded", choices=[guarded])
        else:
            way = Condition(name="way", evaluator=True, steps=[guarded])
        return workflow(way)

    async with file_engines(workflows=[flow(was_router)]) as first:
        (requirement,) = waiting(await first.run("go", "r1"))
    async with file_engines(workflows=[flow(not was_router)]) as second:
        await polled(second)
        await decide(second, requirement)
        view = await second.end_of("r1")
        await polled(second)
    assert "step s0 ('way') chose in another way before" in diverged(view)
