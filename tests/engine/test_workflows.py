"""Runs of workflows over crashes, deploys, pauses and failures: what is stored is not done again."""

import asyncio
import gc
import weakref
from collections import Counter
from typing import Any

import pytest

from musterd import Agent, Budget, Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow, tool
from musterd.core.errors import StepFailed
from musterd.core.events import EventKind
from musterd.core.records import RunRow, RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.service.run_steps import steps_of
from tests.engine.conftest import Engines
from tests.support.crashes import check_each_event_once
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel


class Works:
    """Functions whose calls are counted. One of them can hang until its process dies.

    ``passes`` has how many calls of it come to their end before.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.hangs: set[str] = set()
        self.passes: Counter[str] = Counter()
        self.has_hung = asyncio.Event()
        self.fails: set[str] = set()

    def step(self, name: str, **options: Any) -> Step:
        """A step whose function appends its name to the content of the step before."""

        async def work(step_input: StepInput) -> StepOutput:
            self.calls[name] += 1
            if name in self.hangs and self.calls[name] > self.passes[name]:
                self.has_hung.set()
                await asyncio.Event().wait()
            if name in self.fails:
                raise ValueError(f"{name} is down")
            return StepOutput(content=f"{step_input.previous_step_content or step_input.input}>{name}")

        return Step(name=name, executor=work, **options)

    async def cut_off(self, harness: EngineHarness, name: str, message: str = "go") -> None:
        """Start a run, and kill its process in the middle of this step."""
        self.hangs = {name}
        await harness.start(message, "r1")
        await self.has_hung.wait()
        await harness.kill()
        self.hangs = set()


@pytest.fixture
def works() -> Works:
    return Works()


def workflow(*steps: Any, **options: Any) -> Workflow:
    return Workflow(id="flow", name="Flow", steps=list(steps), **options)


def waiting(view: RunView) -> list[dict[str, Any]]:
    """What a paused run waits for."""
    assert view.row.state is RunState.PAUSED
    assert view.output is not None
    return view.output.requirements


async def decide(
    harness: EngineHarness, requirement: dict[str, Any], verdict: Verdict = Verdict.RUN, **said: Any
) -> None:
    decision = Decision(key=requirement["id"], verdict=verdict, **said)
    await harness.runs.decide(RunRef(harness.component(), "r1", None, NOBODY), [decision])


def content(view: RunView) -> Any:
    assert view.output is not None
    assert view.row.state is RunState.COMPLETED, view.output.error
    return view.output.content


async def test_a_run_goes_on_at_its_step_in_another_process(engines: Engines, works: Works, model: HeldModel) -> None:
    agent = Agent(id="writer", model=model)
    flow = workflow(works.step("a"), agent, works.step("b", retry_safe=True), works.step("c"))
    async with engines(workflows=[flow]) as first:
        await works.cut_off(first, "b")
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
        events = await second.stored("r1")
    assert content(view) == "Echo: go>a>b>c"
    assert works.calls == {"a": 1, "b": 2, "c": 1}
    assert len(model.calls) == 1
    check_each_event_once(events)


@pytest.mark.parametrize(("verdict", "calls"), [(Verdict.RUN, 2), (Verdict.HAPPENED, 1)])
async def test_a_function_that_was_cut_off_waits_for_a_person(
    engines: Engines, works: Works, verdict: Verdict, calls: int
) -> None:
    flow = workflow(works.step("pay"), works.step("next"))
    async with engines(workflows=[flow]) as first:
        await works.cut_off(first, "pay")
    async with engines(workflows=[flow]) as second:
        (requirement,) = waiting(await second.end_of("r1"))
        assert (requirement["kind"], requirement["tool"]["name"]) == ("unknown_outcome", "pay")
        await decide(second, requirement, verdict, result="go>pay" if verdict is Verdict.HAPPENED else None)
        assert content(await second.end_of("r1")) == "go>pay>next"
    assert works.calls == {"pay": calls, "next": 1}


@pytest.mark.parametrize("rule", ["fail", "pause"])
async def test_a_function_whose_outcome_stays_unknown_is_not_tried_again(
    file_engines: Engines, works: Works, rule: str
) -> None:
    flow = workflow(works.step("pay", on_unknown_effect=rule), works.step("next"))
    async with file_engines(workflows=[flow]) as first:
        await works.cut_off(first, "pay")
    async with file_engines(workflows=[flow]) as second:
        if rule == "pause":
            (requirement,) = waiting(await second.end_of("r1"))
            await decide(second, requirement, Verdict.REFUSED)
        view = await second.end_of("r1")
        assert view.row.state is RunState.ERROR
        await fork(second)
        again = await second.end_of("r2")
    assert again.row.state is (RunState.PAUSED if rule == "pause" else RunState.ERROR)
    assert works.calls == {"pay": 1}, "a run that continues it does not pay either"


async def test_a_choice_is_made_once_whatever_is_true_later(file_engines: Engines, works: Works) -> None:
    answer = True

    def holds(step_input: StepInput) -> bool:
        return answer

    condition = Condition(
        name="if", evaluator=holds, steps=[works.step("then", retry_safe=True)], else_steps=[works.step("else")]
    )
    async with file_engines(workflows=[workflow(condition)]) as first:
        await works.cut_off(first, "then")
    answer = False
    async with file_engines(workflows=[workflow(condition)]) as second:
        assert content(await second.end_of("r1")) == "go>then"


@pytest.mark.parametrize("choice", ["condition", "after a group", "loop"])
async def test_a_step_before_a_choice_that_was_cut_off_is_not_made_again(
    file_engines: Engines, works: Works, choice: str
) -> None:
    async def hang(_: Any) -> bool:
        if works.hangs:
            works.has_hung.set()
            await asyncio.Event().wait()
        return True

    condition = Condition(name="if", evaluator=hang, steps=[works.step("then")])
    steps: dict[str, list[Any]] = {
        "condition": [works.step("pay"), condition],
        "after a group": [Steps(name="group", steps=[works.step("pay")]), condition],
        "loop": [Loop(name="again", steps=[works.step("pay")], end_condition=hang, max_iterations=2)],
    }
    # No window of the outbox ends meanwhile: what is stored is what was committed for the choice.
    async with file_engines(workflows=[workflow(*steps[choice])], delta_seconds=60) as first:
        await works.cut_off(first, "the choice")
    async with file_engines(workflows=[workflow(*steps[choice])]) as second:
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
    assert works.calls["pay"] == 1


def asking(works: Works) -> Workflow:
    """A confirmation in a branch, in a loop."""
    both = Parallel(works.step("guarded", requires_confirmation=True), works.step("free"), name="both")
    return workflow(works.step("first"), Loop(name="again", steps=[both], max_iterations=2), works.step("last"))


async def test_a_confirmation_in_a_branch_in_a_loop_is_decided_after_restarts(engines: Engines, works: Works) -> None:
    flow = asking(works)
    async with engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        (requirement,) = waiting(await first.end_of("r1"))
        assert works.calls == {"first": 1, "free": 1}, "the other branch has run on"
    assert requirement["step"]["step_name"] == "guarded"
    async with engines(workflows=[flow]) as second:
        await decide(second, requirement)
        (requirement,) = waiting(await second.end_of("r1"))
    async with engines(workflows=[flow]) as third:
        await decide(third, requirement)
        assert content(await third.end_of("r1")) == "go>first>free>last"
        events = await third.stored("r1")
    assert works.calls == {"first": 1, "free": 2, "guarded": 2, "last": 1}
    check_each_event_once(events)
    paused = [event for _, event in events if event.kind is EventKind.STEP_PAUSED]
    assert [event.place for event in paused] == ["s1/i0/s0/b0/q", "s1/i1/s0/b0/q"]


@pytest.mark.parametrize(
    ("on_reject", "state", "result"),
    [
        ("skip", RunState.COMPLETED, "go>a>c"),
        ("cancel", RunState.CANCELLED, "Workflow cancelled: Step 'b' was rejected"),
    ],
)
async def test_a_rejected_step_is_skipped_or_ends_the_run(
    file_engines: Engines, works: Works, on_reject: str, state: RunState, result: str
) -> None:
    guarded = works.step("b", requires_confirmation=True, confirmation_message="Really?", on_reject=on_reject)
    async with file_engines(workflows=[workflow(works.step("a"), guarded, works.step("c"))]) as harness:
        await harness.start("go", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        step = requirement["step"]
        assert (step["confirmation_message"], step["on_reject"]) == ("Really?", on_reject)
        assert step["step_input"]["previous_step_content"] == "go>a"
        await decide(harness, requirement, Verdict.REFUSED)
        view = await harness.end_of("r1")
        events = await harness.stored("r1")
    assert view.output is not None
    assert (view.row.state, view.output.content) == (state, result)
    if state is RunState.CANCELLED:
        assert [event.data["reason"] for _, event in events if event.kind is EventKind.RUN_CANCELLED] == [result]
    assert [item["step_name"] for item in view.output.step_results] == ["a", "c"][: 2 if on_reject == "skip" else 1]


async def test_a_rejected_condition_takes_its_else_steps(file_engines: Engines, works: Works) -> None:
    condition = Condition(
        name="if",
        evaluator=True,
        steps=[works.step("then")],
        else_steps=[works.step("else")],
        requires_confirmation=True,
    )
    async with file_engines(workflows=[workflow(condition)]) as harness:
        await harness.start("go", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        await decide(harness, requirement, Verdict.REFUSED)
        assert content(await harness.end_of("r1")) == "go>else"


async def test_a_person_fills_in_values_for_a_step(file_engines: Engines, model: HeldModel) -> None:
    def paint(step_input: StepInput) -> str:
        assert step_input.additional_data is not None
        return f"in {step_input.additional_data['user_input']['color']}"

    fields = [{"name": "color", "field_type": "str", "allowed_values": ["red", "blue"]}]
    asks: dict[str, Any] = {"requires_user_input": True, "user_input_schema": fields}
    agent = Step(name="tell", agent=Agent(id="writer", model=model), **asks)
    async with file_engines(workflows=[workflow(Step(name="paint", executor=paint, **asks), agent)]) as harness:
        await harness.start("go", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        assert requirement["fields"][0]["name"] == "color"
        with pytest.raises(Exception, match="green"):
            await decide(harness, requirement, values={"color": "green"})
        await decide(harness, requirement, values={"color": "red"})
        (requirement,) = waiting(await harness.end_of("r1"))
        await decide(harness, requirement, values={"color": "blue"})
        assert content(await harness.end_of("r1")) == "Echo: in red\n\nUser preferences:\n- color: blue"


async def test_a_person_chooses_the_step_of_a_router(file_engines: Engines, works: Works) -> None:
    router = Router(name="way", choices=[works.step("x"), works.step("y")], requires_user_input=True)
    async with file_engines(workflows=[workflow(router)]) as harness:
        await harness.start("go", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        assert requirement["step"]["available_choices"] == ["x", "y"]
        await decide(harness, requirement, values={"selected_choices": ["y"]})
        assert content(await harness.end_of("r1")) == "go>y"
        events = await harness.stored("r1")
    assert EventKind.ROUTER_PAUSED in [event.kind for _, event in events]


@pytest.mark.parametrize(("verdict", "result"), [(Verdict.RUN, "go>bad>next"), (Verdict.REFUSED, "go>next")])
async def test_a_person_decides_about_a_failed_step(
    file_engines: Engines, works: Works, verdict: Verdict, result: str
) -> None:
    flow = workflow(works.step("bad", max_retries=1, on_error="pause"), works.step("next"))
    works.fails = {"bad"}
    async with file_engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        (requirement,) = waiting(await first.end_of("r1"))
        step = requirement["step"]
        assert (step["error_message"], step["error_type"], step["retry_count"]) == ("bad is down", "ValueError", 1)
    works.fails = set()
    async with file_engines(workflows=[flow]) as second:
        await decide(second, requirement, verdict)
        assert content(await second.end_of("r1")) == result
    assert works.calls["bad"] == (3 if verdict is Verdict.RUN else 2)


async def test_an_agents_own_confirmation_pauses_the_workflow(file_engines: Engines, works: Works) -> None:
    deleted: list[str] = []

    @tool(requires_confirmation=True)
    def delete_file(path: str) -> str:
        """Delete a file."""
        deleted.append(path)
        return f"deleted {path}"

    model = HeldModel()
    agent = Agent(id="guarded", model=model, tools=[delete_file])
    async with file_engines(workflows=[workflow(agent, works.step("next"))]) as harness:
        await harness.start('[[TOOL delete_file {"path": "/x"}]]', "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        assert (requirement["component_name"], requirement.get("step")) == ("guarded", None)
        await decide(harness, requirement)
        assert content(await harness.end_of("r1")) == "Done: deleted /x>next"
    assert deleted == ["/x"]


async def fork(harness: EngineHarness, run_id: str = "r2", from_step: str | None = None) -> RunRow:
    other = await harness.runs.view(RunRef(harness.component(), "r1", None, NOBODY))
    request = ForkRequest(run_id=run_id, from_step=from_step)
    return (await harness.server.forks.start(harness.component(), other, request, NOBODY)).run


@pytest.mark.parametrize(
    ("from_step", "again"),
    [
        ("s1/i1/s1", {"b", "c", "d", "f", "deep", "last"}),  # from the second iteration; its first step is kept
        ("s2/b0/s1", {"d", "deep", "last"}),  # the other branch is kept
        ("s3/s1", {"deep", "last"}),  # in the nested workflow
        ("s3/s0/t0/m", {"deep", "last"}),  # a model call of its agent
        ("s4", {"last"}),
    ],
)
async def test_a_fork_from_the_middle_repeats_no_finished_step_before_it(
    engines: Engines, works: Works, model: HeldModel, from_step: str, again: set[str]
) -> None:
    inner = Workflow(id="inner", steps=[Agent(id="writer", model=model), works.step("deep")])
    flow = workflow(
        works.step("first"),
        Loop(name="twice", steps=[works.step("a"), works.step("b")], max_iterations=2),
        Parallel(Steps(name="left", steps=[works.step("c"), works.step("d")]), works.step("f"), name="both"),
        Step(name="nested", workflow=inner),
        works.step("last"),
    )
    async with engines(workflows=[flow]) as harness:
        done = content(await harness.run("go", "r1"))
        once, call_count = dict(works.calls), len(model.calls)
        await fork(harness, from_step=from_step)
        view = await harness.end_of("r2")
        assert content(view) == done
    assert view.row.forked_from == "r1"
    repeated = {name for name, count in works.calls.items() if count > once[name]}
    assert repeated == again
    assert works.calls["a"] == once["a"] == 2
    assert works.calls["b"] == (3 if "b" in again else 2)
    asks_again = from_step.startswith(("s1", "s2")) or from_step.endswith("m")
    assert len(model.calls) == call_count + int(asks_again)


async def test_a_failed_run_continues_at_the_step_that_failed(engines: Engines, works: Works, model: HeldModel) -> None:
    inner = Workflow(id="inner", steps=[works.step("deep"), works.step("bad", max_retries=1)])
    flow = workflow(
        works.step("a"), Agent(id="writer", model=model), Step(name="nested", workflow=inner, max_retries=0)
    )
    works.fails = {"bad"}
    async with engines(workflows=[flow]) as harness:
        view = await harness.run("go", "r1")
        assert view.output is not None
        assert view.output.error is not None
        assert view.output.error["code"] == StepFailed.run_code
        works.fails = set()
        await fork(harness)
        assert content(await harness.end_of("r2")) == "Echo: go>a>deep>bad"
    assert works.calls == {"a": 1, "deep": 1, "bad": 3}
    assert len(model.calls) == 1


async def test_a_cancel_reaches_the_step_under_way_and_keeps_what_is_done(file_engines: Engines, works: Works) -> None:
    works.hangs = {"slow"}
    async with file_engines(workflows=[workflow(works.step("a"), works.step("slow"), works.step("c"))]) as harness:
        await harness.start("go", "r1")
        await works.has_hung.wait()
        await harness.cancel("r1")
        view = await harness.end_of("r1")
        events = await harness.stored("r1")
    assert view.output is not None
    assert view.row.state is RunState.CANCELLED
    assert [step["step_name"] for step in view.output.step_results] == ["a"]
    assert [step["path"] for step in view.output.cut_off] == ["s1"]
    assert sum(event.kind is EventKind.RUN_CANCELLED for _, event in events) == 1


async def test_a_poll_shows_the_results_of_a_run_at_work(file_engines: Engines, works: Works) -> None:
    chosen = 0

    def holds(step_input: StepInput) -> bool:
        nonlocal chosen
        chosen += 1
        return True

    condition = Condition(name="if", evaluator=holds, steps=[works.step("then")])
    both = Parallel(works.step("slow"), works.step("b"), name="both")
    works.hangs = {"slow"}
    async with file_engines(workflows=[workflow(works.step("a"), condition, both)]) as harness:
        await harness.start("go", "r1")
        await works.has_hung.wait()
        view = await harness.runs.settled_view(RunRef(harness.component(), "r1", None, NOBODY), 0)
        await harness.cancel("r1")
    assert view.row.state is RunState.RUNNING
    assert view.output is not None
    assert [(step["step_name"], step["content"]) for step in view.output.step_results] == [
        ("a", "go>a"),
        ("if", "Condition if completed with 1 results (if branch)"),
    ]
    assert chosen == works.calls["a"] == 1, "nothing is called to read it"


async def test_one_branch_can_be_cancelled_alone(file_engines: Engines, works: Works, model: HeldModel) -> None:
    hold = model.hold("go")
    both = Parallel(Step(name="write", agent=Agent(id="writer", model=model)), works.step("b"), name="both")
    async with file_engines(workflows=[workflow(both, works.step("last"))]) as harness:
        await harness.start("go", "r1")
        await hold.reached.wait()
        (member,) = await harness.members("r1")
        await harness.runs.steering.cancel_member(member.row, "somebody", None)
        view = await harness.end_of("r1")
    assert content(view) == "go>b>last"
    assert view.output is not None
    branch = view.output.step_results[0]["steps"][0]
    assert (branch["success"], branch["content"]) == (False, "Step write was cancelled")


async def test_a_branch_that_waits_can_be_cancelled_alone(file_engines: Engines, works: Works) -> None:
    @tool(requires_confirmation=True)
    def delete_file(path: str) -> str:
        """Delete a file."""
        raise AssertionError("it was not confirmed")

    agent = Agent(id="guarded", model=HeldModel(), tools=[delete_file])
    both = Parallel(Step(name="ask", agent=agent), works.step("b"), name="both")
    async with file_engines(workflows=[workflow(both, works.step("last"))]) as harness:
        await harness.start('[[TOOL delete_file {"path": "/x"}]]', "r1")
        waiting(await harness.end_of("r1"))
        (member,) = await harness.members("r1")
        await harness.runs.steering.cancel_member(member.row, "somebody", None)
        await harness.idle()
        view = await harness.end_of("r1")
    assert str(content(view)).endswith(">b>last")
    assert works.calls == {"b": 1, "last": 1}


async def test_a_budget_holds_over_all_steps(file_engines: Engines, model: HeldModel) -> None:
    agent = Agent(id="writer", model=model)
    steps = [Step(name=str(number), agent=agent) for number in range(3)]
    async with file_engines(workflows=[workflow(*steps, budget=Budget(tokens=25))]) as harness:
        view = await harness.run("go", "r1")
    assert view.output is not None
    assert view.output.error is not None
    assert view.output.error["code"] == "budget_tokens"
    assert len(model.calls) == 2


async def test_earlier_runs_of_the_session_stand_before_the_message(file_engines: Engines, model: HeldModel) -> None:
    flow = workflow(Agent(id="writer", model=model), add_workflow_history_to_steps=True, num_history_runs=1)
    async with file_engines(workflows=[flow]) as harness:
        for message in ("one", "two"):
            await harness.run(message, session="s1")
        view = await harness.run("three", session="s1")
    text = content(view)
    assert "[Workflow Run-1]\nUser input: two\nWorkflow output: " in text
    assert text.endswith("</workflow_history_context>\nthree")


async def test_a_function_workflow_goes_on_at_its_step(engines: Engines, works: Works) -> None:
    steps = {name: works.step(name).executor for name in ("a", "b", "c")}

    async def whole(workflow: Any, execution_input: Any) -> str:
        first = await workflow.step("a", steps["a"])
        both = [workflow.step("b", steps["b"], first.content, retry_safe=True)]
        both.append(workflow.step("c", steps["c"], retry_safe=True))
        return " ".join(output.content for output in await asyncio.gather(*both))

    flow = Workflow(id="flow", steps=whole)
    async with engines(workflows=[flow]) as first:
        await works.cut_off(first, "b")
    async with engines(workflows=[flow]) as second:
        view = await second.end_of("r1")
    assert content(view) == "go>a>b go>c"
    assert view.output is not None
    assert [step["step_name"] for step in view.output.step_results] == ["a", "b", "c"]
    assert works.calls["a"] == 1
    assert works.calls["b"] == 2


async def test_a_function_workflow_may_call_steps_in_another_function(file_engines: Engines, works: Works) -> None:
    steps = {name: works.step(name).executor for name in ("a", "b")}

    async def helper(workflow: Any) -> str:
        await workflow.step("a", steps["a"])
        output = await workflow.step("b", steps["b"], requires_confirmation=True)
        return str(output.content)

    async def whole(workflow: Any, execution_input: Any) -> str:
        return await helper(workflow)

    flow = Workflow(id="flow", steps=whole)
    async with file_engines(workflows=[flow]) as first:
        await first.start("go", "r1")
        (requirement,) = waiting(await first.end_of("r1"))
    async with file_engines(workflows=[flow]) as second:
        await decide(second, requirement)
        assert content(await second.end_of("r1")) == "go>b"
    assert works.calls == {"a": 1, "b": 1}


async def test_a_function_workflow_is_freed_after_its_run(file_engines: Engines) -> None:
    workflows: list[weakref.ref[Any]] = []

    async def whole(workflow: Any, execution_input: Any) -> None:
        workflows.append(weakref.ref(workflow))

        def write(step_input: Any) -> None:
            workflow.session_state["tries"] = 1
            raise ValueError("no paper")

        await workflow.step("write", write, max_retries=0)

    async with file_engines(workflows=[Workflow(id="flow", steps=whole)]) as harness:
        assert (await harness.run("go", "r1")).row.state is RunState.ERROR
    gc.collect()
    assert [reference() for reference in workflows] == [None]


async def test_a_function_workflow_without_steps_is_one_step(file_engines: Engines) -> None:
    def whole(workflow: Any, execution_input: Any) -> str:
        return f"did {execution_input.input}"

    async with file_engines(workflows=[Workflow(id="flow", steps=whole)]) as harness:
        assert content(await harness.run("go", "r1")) == "did go"
        rows = await harness.records.select("SELECT path, kind FROM journal WHERE root_id = 'r1' ORDER BY path")
    assert rows == [{"path": "f", "kind": "function"}, {"path": "p", "kind": "prepare"}]


async def test_questions_and_further_tries_are_steps_of_the_workflow(file_engines: Engines, model: HeldModel) -> None:
    guarded = Step(name="write", agent=Agent(id="writer", model=model), requires_confirmation=True, max_retries=1)
    async with file_engines(workflows=[workflow(Steps(name="group", steps=[guarded]))]) as harness:
        await harness.start("[[ERROR 503]]", "r1")
        (requirement,) = waiting(await harness.end_of("r1"))
        await decide(harness, requirement)
        view = await harness.end_of("r1")
        steps = {item.step.path: item for item in await steps_of(harness.database, view.row, None, None)}
        members = {member.row.path: member.row.run_id for member in await harness.members("r1")}
    assert view.row.state is RunState.ERROR
    assert steps["s0/s0/q"].run_id == "r1"
    assert steps["s0/s0/r1"].run_id == "r1"
    assert steps["s0/s0/t0/m"].run_id == members["s0/s0"]
    assert steps["s0/s0/r1/t0/m"].run_id == members["s0/s0/r1"]
    assert list(steps["s0/s0/r1"].child_run_ids) == [members["s0/s0/r1"]]
