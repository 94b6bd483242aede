"""The workflows that were recorded from a server of AgentOS, one for each kind of step."""

import asyncio
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_ai.models import Model

from musterd import (
    Agent,
    Condition,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Team,
    Workflow,
    WorkflowAgent,
    tool,
)
from tests.support.app import Sample
from tests.support.tools import get_weather


@tool(requires_confirmation=True)
def delete_file(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


class Topic(BaseModel):
    """The message of a workflow with an input schema."""

    topic: str
    n: int = 1


def up(step_input: StepInput) -> StepOutput:
    """Return the content of the step before, marked."""
    return StepOutput(content=f"UP({step_input.previous_step_content or step_input.input})")


def boom(step_input: StepInput) -> StepOutput:
    """Fail."""
    raise ValueError("boom in step")


def stopper(step_input: StepInput) -> StepOutput:
    """Stop the workflow."""
    return StepOutput(content="stopped early", stop=True)


def failing_output(step_input: StepInput) -> StepOutput:
    """Return a failure."""
    return StepOutput(content="not good", success=False, error="it failed")


def plain(step_input: StepInput) -> str:
    """Return text."""
    return "plain string"


def stateful(step_input: StepInput, session_state: dict[str, Any]) -> StepOutput:
    """Count in the state of the session."""
    session_state["n"] = session_state.get("n", 0) + 1
    return StepOutput(content=f"n={session_state['n']}")


def gen(step_input: StepInput) -> Iterator[Any]:
    """Yield pieces, and then the result."""
    yield from ("a ", "b ", "c")
    yield StepOutput(content="gen done")


def is_rain(step_input: StepInput) -> bool:
    """Whether the message speaks of rain."""
    return "rain" in str(step_input.input)


def never(outputs: list[StepOutput]) -> bool:
    """Go on."""
    return False


def enough(outputs: list[StepOutput]) -> bool:
    """Whether the step has been done twice."""
    return any("UP(UP" in str(output.content) for output in outputs)


def pick(step_input: StepInput) -> str:
    """Choose by the message."""
    return "r-up" if "up" in str(step_input.input) else "r-writer"


async def whole(workflow: Any, execution_input: Any, tone: str = "dry") -> str:
    """A whole workflow."""
    await asyncio.sleep(0)
    return f"whole({tone}): {execution_input.input}"


def workflow_with_agent(model: str | Model) -> Workflow:
    """The recorded workflow that an agent answers for."""
    return Workflow(
        id="wagent",
        name="wagent",
        steps=[Step(name="u", executor=up)],
        agent=WorkflowAgent(model=model, num_history_runs=3),
    )


def workflow_sample(model: str | Model = "scripted") -> Sample:
    """Every workflow of the recording, with the agents and the team that their steps run."""
    researcher = Agent(id="researcher", name="Researcher", role="Works", model=model, tools=[get_weather])
    writer = Agent(id="writer", name="Writer", role="Works", model=model)
    guarded = Agent(id="guarded", name="Guarded", role="Works", model=model, tools=[delete_file])
    crew = Team(id="crew", name="Crew", members=[Agent(id="c-writer", name="C-Writer", role="Works")], model=model)

    def workflow(id: str, steps: Any, **options: Any) -> Workflow:
        return Workflow(id=id, name=id, description=f"d {id}", steps=steps, **options)

    color = [{"name": "color", "field_type": "str", "description": "c", "required": True}]
    return Sample(
        teams=[crew],
        agents=[researcher, writer, guarded],
        workflows=[
            workflow(
                "seq",
                [
                    Step(name="research", agent=researcher, description="find out"),
                    Step(name="shout", executor=up),
                    Step(name="crew", team=crew),
                ],
            ),
            workflow(
                "par",
                [
                    Parallel(
                        Step(name="p1", agent=researcher),
                        Step(name="p2", executor=up),
                        Step(name="p3", team=crew),
                        name="both",
                        description="side by side",
                    ),
                    Step(name="join", executor=up),
                ],
            ),
            workflow(
                "cond",
                [
                    Condition(
                        name="rainy",
                        evaluator=is_rain,
                        steps=[Step(name="umbrella", executor=up)],
                        else_steps=[Step(name="sun", agent=writer)],
                    ),
                    Step(name="after", executor=plain),
                ],
            ),
            workflow(
                "loop",
                [
                    Loop(
                        name="again",
                        steps=[Step(name="l-agent", agent=writer), Step(name="l-up", executor=up)],
                        max_iterations=3,
                        end_condition=never,
                    ),
                    Step(name="end", executor=plain),
                ],
            ),
            workflow(
                "loop-end",
                [Loop(name="again", steps=[Step(name="l-up", executor=up)], max_iterations=3, end_condition=enough)],
            ),
            workflow(
                "route",
                [
                    Router(
                        name="way",
                        selector=pick,
                        choices=[Step(name="r-up", executor=up), Step(name="r-writer", agent=writer)],
                    )
                ],
            ),
            workflow(
                "steps",
                [
                    Steps(
                        name="group",
                        description="g",
                        steps=[Step(name="s1", executor=up), Step(name="s2", agent=writer)],
                    ),
                    stateful,
                ],
            ),
            workflow(
                "nested",
                [
                    Steps(
                        name="outer",
                        steps=[
                            Condition(
                                name="c",
                                evaluator=True,
                                steps=[
                                    Parallel(
                                        Loop(name="lp", steps=[Step(name="x", executor=up)], max_iterations=2),
                                        Step(name="y", agent=writer),
                                        name="pp",
                                    )
                                ],
                            )
                        ],
                    )
                ],
            ),
            workflow("early", [Step(name="one", executor=stopper), Step(name="never", executor=up)]),
            workflow("fail", [Step(name="bad", executor=boom, max_retries=1), Step(name="never", executor=up)]),
            workflow(
                "fail-skip",
                [Step(name="bad", executor=boom, max_retries=1, on_error="skip"), Step(name="next", executor=up)],
            ),
            workflow(
                "fail-out",
                [
                    Step(name="bad", executor=failing_output, max_retries=0, on_error="skip"),
                    Step(name="next", executor=up),
                ],
            ),
            workflow(
                "fail-pause",
                [Step(name="bad", executor=boom, max_retries=0, on_error="pause"), Step(name="next", executor=up)],
            ),
            workflow("state", [Step(name="count", executor=stateful)], session_state={"n": 10}),
            workflow("gen", [Step(name="g", executor=gen)]),
            workflow("fn", whole),
            workflow("schema", [Step(name="one", executor=up)], input_schema=Topic),
            workflow(
                "hitl",
                [
                    Step(name="prep", executor=up),
                    Step(
                        name="danger",
                        executor=up,
                        requires_confirmation=True,
                        confirmation_message="Really?",
                        on_reject="cancel",
                    ),
                    Step(name="fin", executor=plain),
                ],
            ),
            workflow(
                "hitl-input",
                [
                    Step(
                        name="ask",
                        executor=up,
                        requires_user_input=True,
                        user_input_message="Which?",
                        user_input_schema=color,
                    ),
                    Step(name="fin", executor=plain),
                ],
            ),
            workflow(
                "hitl-router",
                [
                    Router(
                        name="way",
                        choices=[Step(name="r-up", executor=up), Step(name="r-writer", agent=writer)],
                        requires_user_input=True,
                        user_input_message="Choose",
                    )
                ],
            ),
            workflow(
                "hitl-cond",
                [
                    Condition(
                        name="c",
                        evaluator=True,
                        steps=[Step(name="yes", executor=up)],
                        else_steps=[Step(name="no", executor=plain)],
                        requires_confirmation=True,
                        confirmation_message="Go?",
                    )
                ],
            ),
            workflow("hitl-agent", [Step(name="g", agent=guarded), Step(name="fin", executor=up)]),
        ],
    )
