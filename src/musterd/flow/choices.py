"""What evaluators, selectors and end conditions say. It is recorded once, so each attempt takes the same way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import to_jsonable_python

from musterd.core.error_logging import exception_message, log_failure
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.core.threads import in_thread
from musterd.declare.run_context import RunContext, requested_arguments
from musterd.declare.workflow.cel import evaluate_cel
from musterd.flow.divergence import not_as_before
from musterd.flow.inputs import read_contents
from musterd.flow.position import Position, step_fingerprint
from musterd.flow.results import StepResult
from musterd.loop import state, user_functions
from musterd.loop.tool_results import checked_change

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

Condition = Callable[..., Json] | bool | str
FAILED = "choice_failed"
"""The error code of a run with an evaluator, a selector or an end condition that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice that a condition makes.

    :param path: the path of its journal step.
    :param results: the results whose contents it may read.
    :param first: the positional argument of a function, made of these results.
    :param read: checks the value and converts it to ``kind``. It raises ValueError if the value cannot be used.
    :param kind: the type of what is chosen.
    :param cel_values: the values of the names in a CEL text, made of that argument in a thread.
    :param values: further values that a function may have parameters for.
    """

    path: str
    condition: Condition
    results: Sequence[StepResult | None]
    first: Callable[[], Json]
    read: Callable[[Json], Json]
    kind: type[bool] | type[list[str]]
    cel_values: Callable[[Json], Mapping[str, Json]]
    values: JsonObject = field(default_factory=dict)


async def choose(walk: "Walk", position: Position, choice: Choice, session_state: JsonObject) -> Json:
    """Make a choice, or return what an earlier attempt stored. Its changes of the state are made in place.

    :raises RunFailed: the condition failed, or its value cannot be used.
    :raises ReplayDiverged: a choice of another kind is stored.
    """
    node = position.node

    async def make() -> JsonObject:
        working_state = state.copied(session_state)
        await read_contents(walk, choice.results)
        try:
            value = choice.read(await _evaluated(walk, choice, working_state))
            change = checked_change(state.delta(session_state, working_state), walk.tree.settings.state_bytes)
        except Exception as error:
            log_failure("a choice of a workflow failed", error, step=node.name, run_id=walk.run.run_id)
            message = f"{node.type_name} '{node.name}' could not choose: {exception_message(error)}"
            raise RunFailed(message, FAILED) from error
        return {"value": value, "state_delta": change}

    step = step_fingerprint(StepKind.CHOICE, walk.run.component.id, node.name, node.place)
    # Stored with the intent that acts on it, or with the events that show it: an earlier commit would protect nothing.
    chosen = await walk.tree.steps.once(StepKind.CHOICE, choice.path, step, node.name, make, is_followed=True)
    if not isinstance(chosen["value"], choice.kind):
        raise not_as_before(position, "chose in another way before")
    state.merge(session_state, chosen["state_delta"])
    return chosen["value"]


async def _evaluated(walk: "Walk", choice: Choice, session_state: JsonObject) -> Json:
    condition = choice.condition
    if isinstance(condition, bool):
        return condition
    if isinstance(condition, str):
        return await in_thread(_value_of_text, condition, partial(choice.cel_values, choice.first()))
    available = {**choice.values, **_context(walk, session_state)}
    function, arguments = partial(condition, choice.first()), requested_arguments(condition, available)
    return await user_functions.call(walk.tree.threads, function, arguments)


def _value_of_text(text: str, values: Callable[[], Mapping[str, Json]]) -> Json:
    return evaluate_cel(text, to_jsonable_python(values(), fallback=str))


def _context(walk: "Walk", session_state: JsonObject) -> JsonObject:
    tree, run = walk.tree, walk.run
    context = RunContext(
        run_id=run.run_id,
        session_id=tree.session_id,
        user_id=tree.user_id,
        session_state=session_state,
        dependencies={**run.dependencies, **tree.dependencies},
        metadata={**run.metadata, **tree.metadata},
    )
    return {"run_context": context, "session_state": session_state}
