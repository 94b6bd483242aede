"""Reasoning steps: their schema, and the events that report them.

They have Agno's shape: ``{title, action, result, reasoning, next_action, confidence}``. A run gets them from the
reasoning before its first turn (:mod:`musterd.loop.reasoning`), or from its model's calls of ``think`` and ``analyze``.
"""

from collections.abc import Sequence

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.run_tree import RunTree

STEP = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "What the step is about, in a few words."},
        "reasoning": {"type": "string", "description": "The thought: why this step, what speaks for and against it."},
        "action": {"type": ["string", "null"], "description": "What is done in this step."},
        "result": {"type": ["string", "null"], "description": "What came of it."},
        "next_action": {
            "type": "string",
            "enum": ["continue", "validate", "final_answer", "reset"],
            "description": "continue: more steps are needed. validate: a result is there and should be checked. "
            "final_answer: the result is checked. reset: a step was wrong, begin anew.",
        },
        "confidence": {"type": ["number", "null"], "description": "How sure the step is, from 0 to 1."},
    },
    "required": ["title", "reasoning", "next_action"],
}
STEPS = {
    "type": "object",
    "properties": {"reasoning_steps": {"type": "array", "items": STEP, "minItems": 1}},
    "required": ["reasoning_steps"],
}
"""The schema of a reasoning model's answer."""

THINK, ANALYZE = "think", "analyze"
REPEATED_CHARACTERS = 32 * 1024
"""How much of the reasoning so far the event of a step repeats: its end, if it is longer. A step with all of it would
make the events of 128 steps 64 times as large as the reasoning."""
_FIELDS = ("title", "action", "result", "reasoning", "next_action", "confidence")


def step_of(fields: JsonObject) -> JsonObject:
    """A reasoning step with exactly the fields that a step has."""
    return {name: fields.get(name) for name in _FIELDS}


def as_text(steps: Sequence[JsonObject]) -> str:
    """The steps as text."""
    return "".join(_step_text(step) for step in steps)


def begin(tree: RunTree, run: Assignment, progress: Progress, place: str) -> None:
    """Emit that the run begins to reason, unless it is reasoning already."""
    if not progress.is_reasoning:
        progress.is_reasoning = True
        tree.emit_now(EventKind.REASONING_STARTED, run.run_id, {}, place)


def add(tree: RunTree, run: Assignment, progress: Progress, step: JsonObject, place: str) -> None:
    """Add a step to the output, and emit it."""
    output = progress.output
    output.reasoning_steps.append(step)
    output.reasoning += _step_text(step)
    data = {"content": step, "content_type": "ReasoningStep", "reasoning_content": _end_of(output.reasoning)}
    tree.emit_now(EventKind.REASONING_STEP, run.run_id, data, place)


def end(tree: RunTree, run: Assignment, progress: Progress, place: str) -> None:
    """Emit that the run has finished reasoning, if it was reasoning."""
    if progress.is_reasoning:
        progress.is_reasoning = False
        # A copy: events are serialized when they are flushed, and the run may add steps before that.
        steps = {"reasoning_steps": list(progress.output.reasoning_steps)}
        tree.emit_now(
            EventKind.REASONING_COMPLETED, run.run_id, {"content": steps, "content_type": "ReasoningSteps"}, place
        )


def note_call(tree: RunTree, run: Assignment, progress: Progress, call: ToolCall, path: str) -> None:
    """Add a call of ``think`` or ``analyze`` as a step."""
    if call.is_error:
        return
    args = call.args
    if call.name == THINK:
        fields = {**args, "reasoning": args.get("thought"), "next_action": "continue"}
    else:
        fields = {**args, "reasoning": args.get("analysis"), "next_action": args.get("next_action") or "continue"}
    begin(tree, run, progress, run.at("think"))
    add(tree, run, progress, step_of(fields), path)


def _end_of(reasoning: str) -> str:
    if len(reasoning) <= REPEATED_CHARACTERS:
        return reasoning
    return f"…{reasoning[-REPEATED_CHARACTERS:]}"


def _step_text(step: JsonObject) -> str:
    lines = [f"## {step['title']}" if step["title"] else "", step["reasoning"] or ""]
    lines += [f"{name.capitalize()}: {step[name]}" if step[name] else "" for name in ("action", "result")]
    return "\n".join([*(line for line in lines if line), "", ""])
