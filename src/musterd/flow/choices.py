"""What evaluators, selectors and end conditions say. It is recorded once, so each attempt takes the same way."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import to_jsonable_python

from musterd.core.error_logging import exception_message, log_failure
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare.run_context import RunContext, requested_arguments
from musterd.declare.workflow.cel import evaluate_cel
from musterd.loop import state, user_functions
from musterd.loop.run_tree import fingerprint
from musterd.loop.tool_results import check_state_change

if TYPE_CHECKING:
    from musterd.flow.position import Position
    from musterd.flow.walk import Walk

Condition = Callable[..., Json] | bool | str
FAILED = "choice_failed"
"""The error code of a run with an evaluator, a selector or an end condition that failed."""


async def choose(
    walk: "Walk",
    position: "Position",
    path: str,
    condition: Condition,
    first: Json,
    session_state: JsonObject,
    *,
    read: Callable[[Json], Json],
    cel_values: Callable[[], Mapping[str, Json]],
    values: JsonObject | None = None,
) -> Json:
    """Evaluate a condition, or return what an earlier attempt stored. Its changes of the state are made in place.

    :param path: the path of the choice.
    :param first: the positional argument of a function.
    :param read: checks the returned value and converts it to JSON. It raises ValueError if it cannot be used.
    :param cel_values: the values of the names in a CEL text.
    :param values: further values that a function may have parameters for.
    :raises RunFailed: it failed, or its value cannot be used.
    """
    run, node = walk.run, position.node

    async def evaluate() -> JsonObject:
        working_state = state.copied(session_state)
        try:
            if isinstance(condition, bool):
                value: Json = condition
            elif isinstance(condition, str):
                value = evaluate_cel(condition, to_jsonable_python(cel_values(), fallback=str))
            else:
                available = {**(values or {}), **_context(walk, working_state)}
                function, arguments = partial(condition, first), requested_arguments(condition, available)
                value = await user_functions.call(walk.tree.threads, function, arguments)
            change = state.delta(session_state, working_state)
            check_state_change(change, walk.tree.settings.state_bytes)
            return {"value": read(value), "state_delta": change}
        except Exception as error:
            log_failure("a choice of a workflow failed", error, step=node.name, run_id=run.run_id)
            message = f"{node.type_name} '{node.name}' could not choose: {exception_message(error)}"
            raise RunFailed(message, FAILED) from error

    step = fingerprint(StepKind.CHOICE, run.component.id, node.name, node.place)
    chosen = await walk.tree.steps.once(StepKind.CHOICE, path, step, node.name, evaluate)
    state.merge(session_state, chosen["state_delta"])
    return chosen["value"]


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
