"""What the functions of a workflow get and return: :class:`StepInput` and :class:`StepOutput`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from musterd.declare.tool_result import Media

_MEDIA = ("images", "videos", "audio", "files")


@dataclass(frozen=True, kw_only=True)
class StepOutput:
    """The result of a step. A function sets the first fields, and the server fills in those that describe the step.

    :param content: a string, a dict, a list or a pydantic object.
    :param success: False: the step failed, and its ``on_error`` decides.
    :param error: why it failed.
    :param stop: True: the workflow finishes after this step.
    :param step_name: the name of the step; also ``step_id`` and ``step_type`` (``Step``, ``Loop``, …).
    :param executor_type: ``agent``, ``team``, ``workflow`` or ``function``; of a container its kind.
    :param step_run_id: the run of the step's agent, team or workflow.
    :param metrics: the usage of that run.
    :param steps: the results of the steps in a container, in their order.
    """

    content: Any = None
    success: bool = True
    error: str | None = None
    stop: bool = False
    images: Sequence[Media] | None = None
    videos: Sequence[Media] | None = None
    audio: Sequence[Media] | None = None
    files: Sequence[Media] | None = None
    step_name: str | None = None
    step_id: str | None = None
    step_type: str | None = None
    executor_type: str | None = None
    executor_name: str | None = None
    step_run_id: str | None = None
    metrics: Mapping[str, Any] | None = None
    steps: Sequence[StepOutput] | None = None

    def tree(self) -> Iterator[StepOutput]:
        """This result and all results below it, containers first."""
        yield self
        for output in self.steps or ():
            yield from output.tree()

    def to_dict(self) -> dict[str, Any]:
        """The result as a dict, without fields that are not set."""
        own = [item for item in fields(self) if item.name not in (*_MEDIA, "content", "steps")]
        values = {item.name: value for item in own if (value := getattr(self, item.name)) is not None}
        steps = [output.to_dict() for output in self.steps or ()]
        return {"content": _as_json(self.content), **values, **_media(self), **({"steps": steps} if steps else {})}

    @property
    def last_content(self) -> Any:
        """The content of the last step in a container, at any depth; of other steps their own."""
        return self.steps[-1].last_content if self.steps else self.content


@dataclass(frozen=True, kw_only=True)
class WorkflowSession:
    """The session of a workflow's run, with the completed runs before it.

    :param history: the input and the output of each completed run, oldest first.
    """

    session_id: str
    user_id: str | None = None
    history: Sequence[tuple[str, str]] = ()

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """The input and the output of the last ``num_runs`` completed runs, or of all, oldest first."""
        first = 0 if num_runs is None else max(len(self.history) - num_runs, 0)
        return list(self.history[first:])

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """The history as a text for a model; None if there is none."""
        return history_context(self.get_workflow_history(num_runs))


def history_context(history: Sequence[tuple[str, str]]) -> str | None:
    """Inputs and outputs of earlier runs as a text for a model; None if there are none."""
    if not history:
        return None
    lines = ["<workflow_history_context>"]
    for number, (run_input, output) in enumerate(history, start=1):
        lines.append(f"[Workflow Run-{number}]")
        lines += [f"User input: {run_input}"] if run_input else []
        lines += [f"Workflow output: {output}"] if output else []
        lines.append("")
    return "\n".join([*lines, "</workflow_history_context>", ""])


def as_text(value: Any) -> str | None:
    """A content or an input as a text: pydantic objects, dicts and lists as JSON."""
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json(indent=2, exclude_none=True))
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, indent=2, default=str, ensure_ascii=False)
    return str(value)


@dataclass(frozen=True, kw_only=True)
class WorkflowExecutionInput:
    """The input of a workflow's run, for a function that is the whole workflow.

    :param input: the message; with an ``input_schema`` its object.
    :param additional_data: further values of the request.
    """

    input: Any = None
    additional_data: Mapping[str, Any] | None = None
    images: Sequence[Media] | None = None
    videos: Sequence[Media] | None = None
    audio: Sequence[Media] | None = None
    files: Sequence[Media] | None = None

    def get_input_as_string(self) -> str | None:
        """The input as a text."""
        return as_text(self.input)

    def to_dict(self) -> dict[str, Any]:
        """The input as a dict."""
        data = None if self.additional_data is None else dict(self.additional_data)
        return {"input": _as_json(self.input), "additional_data": data, **dict.fromkeys(_MEDIA), **_media(self)}


@dataclass(frozen=True, kw_only=True)
class StepInput(WorkflowExecutionInput):
    """The input of a step, for executors, evaluators and selectors.

    :param previous_step_content: the content of the step before, of a container that of its last step; for evaluators
        and selectors the container's own text.
    :param previous_step_outputs: the results of the steps before, by name, in their order.
    """

    previous_step_content: Any = None
    previous_step_outputs: Mapping[str, StepOutput] | None = field(default_factory=dict)
    workflow_session: WorkflowSession | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The input as a dict, with the results of the steps before."""
        outputs = {name: output.to_dict() for name, output in (self.previous_step_outputs or {}).items()}
        content = as_text(self.previous_step_content)
        return {**super().to_dict(), "previous_step_outputs": outputs, "previous_step_content": content}

    def get_step_output(self, step_name: str) -> StepOutput | None:
        """The result of a step before, also of one in a container."""
        outputs = self.previous_step_outputs or {}
        if step_name in outputs:
            return outputs[step_name]
        below = (output for top in outputs.values() for output in top.tree())
        return next((output for output in below if output.step_name == step_name), None)

    def get_step_content(self, step_name: str) -> Any:
        """The content of a step before; of a ``Parallel`` a dict with the content of each branch."""
        output = self.get_step_output(step_name)
        if output is None:
            return None
        if output.step_type == "Parallel" and output.steps:
            return _contents_by_name(output.steps) or str(output.content)
        return output.last_content

    def get_last_step_content(self) -> Any:
        """The content of the step before, of a container that of its last step."""
        outputs = list((self.previous_step_outputs or {}).values())
        return outputs[-1].last_content if outputs else None

    def get_all_previous_content(self) -> str:
        """The contents of all steps before, each under its name."""
        outputs = self.previous_step_outputs or {}
        return "\n\n".join(f"=== {name} ===\n{output.content}" for name, output in outputs.items() if output.content)

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """The input and the output of the last ``num_runs`` completed runs of the session, or of all, oldest first."""
        return [] if self.workflow_session is None else self.workflow_session.get_workflow_history(num_runs)

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """The history as a text for a model; None if there is none."""
        return None if self.workflow_session is None else self.workflow_session.get_workflow_history_context(num_runs)


def _as_json(value: Any) -> Any:
    """A content or an input in a dict: a pydantic object as a dict, a dict, a list or None unchanged, else a text."""
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_none=True, mode="json")
    return value if value is None or isinstance(value, Mapping | list) else str(value)


def _media(value: Any) -> dict[str, Any]:
    """The media of an input or a result, without their contents unless their own class writes them."""
    lists = {name: items for name in _MEDIA if (items := getattr(value, name))}
    return {name: [_medium(item) for item in items] for name, items in lists.items()}


def _medium(item: Any) -> dict[str, Any]:
    if not isinstance(item, Media):
        written: dict[str, Any] = item.to_dict()
        return written
    names = ("id", "url", "mime_type", "filename")
    return {name: value for name in names if (value := getattr(item, name))}


def _contents_by_name(branches: Sequence[StepOutput]) -> dict[str, str]:
    """The content of each branch of a ``Parallel``; a branch that is a container counts by the steps in it."""
    steps = [step for branch in branches for step in (branch.steps or (branch,))]
    return {step.step_name: str(step.content) for step in steps if step.step_name and step.content}
