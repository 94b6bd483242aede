"""A router over steps and groups, a selector that knows the session's state, and an early end."""

from typing import Any

from musterd import Condition, Router, Step, StepInput, StepOutput, Steps, Workflow

MESSAGES = ["a question about a bill", "it crashes", "a question about a bill", "spam"]


def triage(step_input: StepInput, session_state: dict[str, Any]) -> StepOutput:
    """Count the cases, and stop at spam."""
    session_state["cases"] = session_state.get("cases", 0) + 1
    return StepOutput(content=f"case {session_state['cases']}", stop="spam" in step_input.input)


def ask(step_input: StepInput) -> StepOutput:
    """Ask for the bill."""
    return StepOutput(content={"question": "which bill?", "after": step_input.previous_step_content})


def answer(step_input: StepInput) -> StepOutput:
    """Answer what the step before asked."""
    return StepOutput(content=f"answered: {step_input.previous_step_content}")


def escalate(step_input: StepInput) -> StepOutput:
    """Call an engineer."""
    return StepOutput(content="an engineer was called")


def close(step_input: StepInput) -> StepOutput:
    """Say what was done, in which steps."""
    return StepOutput(content=f"{list(step_input.previous_step_outputs or {})}: {step_input.get_last_step_content()}")


billing = Steps(name="billing", steps=[Step(name="ask", executor=ask), Step(name="answer", executor=answer)])
technical = Step(name="technical", executor=escalate)


def select(step_input: StepInput, session_state: dict[str, Any]) -> list[Any]:
    """Return the choices themselves: both after the second case."""
    way = [billing if "bill" in step_input.input else technical]
    return [*way, technical] if session_state["cases"] > 2 else way


def is_returning(step_input: StepInput, session_state: dict[str, Any]) -> bool:
    """Whether the session had a case before."""
    return bool(session_state["cases"] > 1)


workflow = Workflow(
    name="Support",
    session_state={"cases": 0},
    steps=[
        Step(name="triage", executor=triage),
        Condition(name="returning", evaluator=is_returning, steps=[answer], else_steps=[escalate]),
        Router(name="way", selector=select, choices=[billing, technical]),
        Step(name="close", executor=close),
    ],
)
