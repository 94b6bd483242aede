"""Hooks around a run: what they are handed, what they change, how they refuse."""

import threading
from typing import Any

import pytest

from musterd import Agent, Team
from musterd.core.errors import DeclarationError, RunFailed
from musterd.core.events import EventKind
from musterd.guards import BaseGuardrail, CheckTrigger, InputCheckError, OutputCheckError, RunInput, RunOutput
from tests.support.loop import Call, LoopHarness, TurnModel

AROUND = [
    EventKind.RUN_STARTED,
    EventKind.PRE_HOOK_STARTED,
    EventKind.PRE_HOOK_COMPLETED,
    EventKind.MODEL_REQUEST_STARTED,
    EventKind.MODEL_REQUEST_COMPLETED,
    EventKind.POST_HOOK_STARTED,
    EventKind.POST_HOOK_COMPLETED,
    EventKind.CONTENT_COMPLETED,
]


def prompts(model: TurnModel) -> list[str]:
    return [str(seen[0].parts[-1].content) for seen in model.seen]  # type: ignore[union-attr]


async def test_hooks_are_handed_what_they_name() -> None:
    seen: dict[str, Any] = {}

    def pre(
        run_input: RunInput,
        session_state: dict[str, Any],
        user_id: str | None,
        dependencies: dict[str, Any],
        metadata: dict[str, Any],
        agent: Agent,
        extra: int = 3,
    ) -> None:
        seen.update(locals())

    async def post(run_output: RunOutput, **more: Any) -> None:
        seen["output"], seen["more"] = run_output, more

    agent = Agent(id="solo", model=TurnModel("hi"), pre_hooks=[pre], post_hooks=[post], dependencies={"own": 1})
    harness = LoopHarness(agent, state={"a": 1}, dependencies={"d": 2}, metadata={"m": 3})
    await harness.drive()
    assert seen["run_input"].input_content_string() == "hello"
    assert (seen["session_state"], seen["user_id"], seen["extra"]) == ({"a": 1}, "somebody", 3)
    assert (seen["dependencies"], seen["metadata"]) == ({"own": 1, "d": 2}, {"m": 3})
    assert seen["agent"] is agent
    assert (seen["output"].input.input_content_string(), seen["output"].content) == ("hello", "hi")
    assert seen["more"]["run_context"].run_id == "root"
    assert harness.kinds() == AROUND


async def test_hooks_see_the_values_of_dependencies_and_what_the_leader_passes_on() -> None:
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def before(dependencies: dict[str, Any], metadata: dict[str, Any]) -> None:
        seen.append(("before", dict(dependencies), dict(metadata)))

    def after(dependencies: dict[str, Any], metadata: dict[str, Any]) -> None:
        seen.append(("after", dict(dependencies), dict(metadata)))

    def load_user() -> str:
        return "ada"

    member = Agent(
        id="member", pre_hooks=[before], post_hooks=[after], dependencies={"user": load_user, "place": "here"}
    )
    turns = TurnModel([Call("delegate_task_to_member", {"member_id": "member", "task": "x"})], "done", "well done")
    team = Team(id="desk", model=turns, members=[member], dependencies={"place": "there"}, metadata={"plan": "pro"})
    await LoopHarness(team).drive()
    assert seen == [
        ("before", {"place": "there"}, {"plan": "pro"}),
        ("after", {"place": "there", "user": "ada"}, {"plan": "pro"}),
    ]


async def test_a_pre_hook_changes_what_is_asked_and_the_state() -> None:
    def pre(run_input: RunInput, session_state: dict[str, Any]) -> None:
        run_input.input_content = f"{run_input.input_content}, politely"
        session_state["asked"] = True

    async def second(run_input: RunInput) -> None:
        run_input.input_content += "!"

    model = TurnModel(Call("delegate_task_to_member", {"member_id": "one"}), "done", "all done")
    team = Team(
        id="team",
        model=model,
        members=[Agent(id="one")],
        pre_hooks=[pre, second],
        determine_input_for_members=False,
    )
    harness = LoopHarness(team)
    await harness.drive()
    assert prompts(model)[:2] == ["hello, politely!"] * 2, "the member's task too"
    assert harness.run.state == {"asked": True}
    inputs = [event.data["input"] for event in harness.events if event.kind is EventKind.PRE_HOOK_COMPLETED]
    assert inputs == ["hello, politely", "hello, politely!"]


async def test_a_post_hook_changes_the_answer() -> None:
    def post(run_output: RunOutput) -> None:
        run_output.content = run_output.content.upper()

    output = await LoopHarness(Agent(id="solo", model=TurnModel("hi"), post_hooks=[post])).drive()
    assert output.content == "HI"


async def test_a_hook_refuses() -> None:
    def pre(run_input: RunInput) -> None:
        raise InputCheckError("Not here.", CheckTrigger.OFF_TOPIC, {"topic": "cats", "odd": object})

    model = TurnModel("hi")
    harness = LoopHarness(Agent(id="solo", model=model, pre_hooks=[pre]))
    with pytest.raises(RunFailed) as refused:
        await harness.drive()
    assert (refused.value.code, refused.value.message) == ("input_check_error", "Not here.")
    assert refused.value.details["error_id"] == "off_topic"
    assert refused.value.details["additional_data"]["topic"] == "cats"
    assert harness.kinds() == AROUND[:2]
    assert model.seen == []

    async def post(run_output: RunOutput) -> None:
        raise OutputCheckError("Not so.", "too_long")

    with pytest.raises(RunFailed) as refused:
        await LoopHarness(Agent(id="solo", model=TurnModel("hi"), post_hooks=[post])).drive()
    assert (refused.value.code, refused.value.details) == ("output_check_error", {"error_id": "too_long"})


async def test_a_hook_that_fails_ends_the_run_without_its_words() -> None:
    def pre() -> None:
        raise ValueError("secret")

    with pytest.raises(RunFailed, match="The hook 'pre' failed") as failed:
        await LoopHarness(Agent(id="solo", model=TurnModel("hi"), pre_hooks=[pre])).drive()
    assert failed.value.code == "hook_failed"
    assert "secret" not in failed.value.message

    def post(run_output: RunOutput) -> None:
        run_output.content = object()

    with pytest.raises(RunFailed, match="The hook 'post' failed"):
        await LoopHarness(Agent(id="solo", model=TurnModel("hi"), post_hooks=[post])).drive()


async def test_a_member_that_is_refused_has_failed() -> None:
    class Closed(BaseGuardrail):
        async def async_check(self, run_input: RunInput) -> None:
            raise InputCheckError("Closed.")

    model = TurnModel(Call("delegate_task_to_member", {"member_id": "one", "task": "go"}), "sorry")
    team = Team(id="team", model=model, members=[Agent(id="one", name="One", pre_hooks=[Closed()])])
    output = await LoopHarness(team).drive()
    assert output.content == "sorry"
    assert model.tool_results() == ["One failed: Closed."]


async def test_a_guardrail_may_inherit_its_check() -> None:
    threads: list[str] = []

    class Short(BaseGuardrail):
        def check(self, run_input: RunInput) -> None:
            threads.append(threading.current_thread().name)

    class Shorter(Short):
        pass

    await LoopHarness(Agent(id="solo", model=TurnModel("hi"), pre_hooks=[Shorter()])).drive()
    assert threads[0].startswith("test-tool"), "a plain check does not hold the event loop"


def test_what_no_hook_can_be() -> None:
    def greedy(run_input: RunInput, weather: str) -> None: ...

    with pytest.raises(DeclarationError, match=r"'greedy' has the unknown parameter 'weather'"):
        Agent(id="solo", pre_hooks=[greedy])
    with pytest.raises(DeclarationError, match=r"has the unknown parameter 'run_input'"):
        Agent(id="solo", post_hooks=[lambda run_input: None])
    for wrong in (["text"], [BaseGuardrail], 3):
        with pytest.raises(DeclarationError, match="use a list of functions and guardrails"):
            Agent(id="solo", pre_hooks=wrong)  # type: ignore[arg-type]
