"""The results of steps: as functions of the workflow see them, as clients see them, and as the journal stores them."""

import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import MEDIA_NAMES, Medium, with_contents
from musterd.core.step_contents import AT, MAX_INLINE, place
from musterd.declare.tool_result import Media
from musterd.declare.workflow.step_io import StepOutput, as_text
from musterd.flow.position import Position
from musterd.loop.steps import ToolStep

TEXT, JSON, NOTHING = "text", "json", "nothing"
"""How the content of a step is stored."""

MAX_TOGETHER = 200_000
"""The most characters of contents, and of errors, that the result of a container shows, as long as each shows
``MIN_CUT`` of its own. Each event and each output repeats the results in it, so they would grow with the square of the
steps."""
MIN_CUT = 100
_HEADING = "## Parallel Execution Results"


@dataclass(slots=True, kw_only=True)
class StepResult:
    """The result of a step or a container.

    :param output: the result as functions of the workflow see it.
    :param record: the same as clients see it, with the keys of AgentOS. A large content is a reference to the journal.
    :param has_content: whether the next step gets the content of this step.
    :param media: the media that it produced.
    :param steps: the results in a container.
    :param path: the path of the journal step.
    :param unread: the stored step, if its content was not read yet.
    """

    output: StepOutput
    record: JsonObject
    has_content: bool = False
    media: tuple[Medium, ...] = ()
    steps: Sequence["StepResult"] = ()
    path: str = ""
    unread: ToolStep | None = None

    @property
    def source(self) -> "StepResult | None":
        """The step whose content the next step gets, of a container the last one; None: there is nothing new."""
        if self.has_content:
            return self
        return next((source for step in reversed(self.steps) if (source := step.source) is not None), None)

    def unread_steps(self) -> Iterator["StepResult"]:
        """The steps whose contents were not read yet."""
        if self.unread is not None:
            yield self
        for step in self.steps:
            yield from step.unread_steps()

    def fill_in(self, texts: Mapping[str, str]) -> None:
        """Take in contents that were read. It parses them, so it is called in a thread; branches may do it at once.

        :param texts: contents by the path of their journal steps.
        """
        for step in self.steps:
            step.fill_in(texts)
        content, unread = self.output.content, self.unread
        if unread is not None and self.path in texts:
            content, self.unread = content_of(replace(unread, result=texts[self.path])), None
        elif content is None and self.output.executor_type == "parallel":
            content = parallel_text(self.steps)
        # In place: the outputs of containers refer to it. No function has got it yet, because its content was missing.
        object.__setattr__(self.output, "content", content)

    def fill_in_media(self, loaded: Mapping[str, bytes]) -> None:
        """Take in media that were read, by hash."""
        for step in self.steps:
            step.fill_in_media(loaded)
        self.media = with_contents(self.media, loaded)
        for name in MEDIA_NAMES if not self.steps else ():
            object.__setattr__(self.output, name, _media_named(name, self.media))


def content_text(content: Json) -> tuple[str, JsonObject]:
    """A content as text, and how :func:`content_of` reads it.

    :raises ValueError: it contains a number that is not JSON.
    """
    if content is None:
        return "", {"content": NOTHING}
    if isinstance(content, str):
        return content, {}
    details: JsonObject = {"content": JSON}
    if isinstance(content, BaseModel):
        details["class"] = class_name(type(content))
    return jsontext.dumps(to_jsonable_python(content, fallback=str)), details


def as_json(content: Json) -> Json:
    """A content as clients see it."""
    return to_jsonable_python(content, fallback=str) if isinstance(content, BaseModel) else content


def class_name(model: type[BaseModel]) -> str:
    """The name under which :func:`content_of` finds a pydantic class."""
    return f"{model.__module__}:{model.__qualname__}"


def content_of(step: ToolStep) -> Json:
    """The content of a step as functions get it: text, JSON, or an object of the pydantic class that it was made of.

    It is read in the same way in each attempt, from what is stored. A class that is not found here leaves JSON.
    """
    details, content = step.details or {}, json_content_of(step)
    if (name := details.get("class")) is None:
        return content
    module, _, qualname = name.partition(":")
    try:
        holder: Json = sys.modules[module]
        model: Json = functools.reduce(getattr, qualname.split("."), holder)
        is_model = isinstance(model, type) and issubclass(model, BaseModel)
        return model.model_validate(content) if is_model else content
    except (AttributeError, KeyError, ValueError):
        return content


def json_content_of(step: ToolStep) -> Json:
    """The content of a step as clients see it: text or JSON."""
    kind = (step.details or {}).get("content", TEXT)
    if kind == NOTHING:
        return None
    return json.loads(step.result) if kind == JSON else step.result


def succeeded(position: Position, path: str, step: ToolStep) -> StepResult:
    """The result of a step that was called and returned, also of a function that returned a failure.

    :param path: the path of its journal step, which is that of its last try.
    """
    details, is_unread = step.details or {}, step.unread_characters is not None
    output = _output(
        position,
        step,
        content=None if is_unread else content_of(step),
        success=details.get("success", True),
        error=details.get("error"),
        stop=details.get("stop", False),
        metrics=details.get("metrics"),
        **{name: _media_named(name, step.media) for name in MEDIA_NAMES if step.media},
    )
    record = _record(output, step.media)
    if (at := content_place(path, step)) is None:
        record["content"] = json_content_of(step)
    else:
        record |= {"content": None, AT: at}
    return StepResult(
        output=output,
        record=record,
        has_content=details.get("content") != NOTHING,
        media=step.media,
        path=path,
        unread=step if is_unread else None,
    )


def content_place(path: str, step: ToolStep) -> JsonObject | None:
    """Where the content of a step is stored, if it is large."""
    characters = len(step.result) if step.unread_characters is None else step.unread_characters
    if characters <= MAX_INLINE:
        return None
    return place(path, characters, is_json=(step.details or {}).get("content") == JSON)


def failed(position: Position, step: ToolStep, text: str) -> StepResult:
    """The result of a step that failed. The next step gets what stood before it.

    :param text: what became of the step.
    """
    output = _output(position, step, content=text, success=False, error=step.result)
    return StepResult(output=output, record=_record(output, ()))


def container(
    position: Position, content: str | None, results: Sequence[StepResult], executor_type: str | None = None
) -> StepResult:
    """The result of a container.

    :param content: what became of it, as clients see it.
    :param executor_type: how clients name what runs the steps, if they do.
    """
    node = position.node
    output = StepOutput(
        content=content,
        success=all(result.output.success for result in results),
        stop=any(result.output.stop for result in results),
        step_name=node.name,
        step_id=node.step_id,
        step_type=node.type_name,
        executor_type=executor_type,
        executor_name=None if executor_type is None else node.name,
        steps=[result.output for result in results],
    )
    media = tuple(medium for result in results for medium in result.media)
    record = _record(replace(output, steps=None), ())
    if results:
        record["steps"] = records(results)
    return StepResult(output=output, record=record, media=media, steps=results)


def parallel(position: Position, results: Sequence[StepResult]) -> StepResult:
    """The result of a ``Parallel``, whose content shows those of its branches."""
    if not any(AT in result.record for result in results):
        return container(position, parallel_text(results), results, "parallel")
    has_unread = any(True for result in results for _ in result.unread_steps())
    result = container(position, None if has_unread else parallel_text(results), results, "parallel")
    parts = [part for result in results for part in _branch_parts(result)]
    characters = sum(len(part) if isinstance(part, str) else part["characters"] for part in parts)
    result.record |= {"content": None, AT: {"parts": [_HEADING, *parts], "characters": len(_HEADING) + characters}}
    return result


def parallel_text(results: Sequence[StepResult]) -> str:
    """The content of a ``Parallel`` with these branches."""
    branches = [f"{_branch_heading(result)}{_branch_content(result)}" for result in results]
    return "".join([_HEADING, *branches])


def _branch_parts(result: StepResult) -> list[Json]:
    """What a ``Parallel`` shows of a branch: texts, and places of large contents."""
    if not result.output.success or (at := result.record.get(AT)) is None:
        return [f"{_branch_heading(result)}{_branch_content(result)}"]
    return [_branch_heading(result), *at.get("parts", [at])]


def _branch_heading(result: StepResult) -> str:
    return f"\n\n### {'✅ SUCCESS' if result.output.success else '❌ FAILURE'}: {result.output.step_name}\n"


def _branch_content(result: StepResult) -> str:
    output = result.output
    return str(as_text(output.content)) if output.success else f"Step {output.step_name} failed: {output.error}"


def records(results: Sequence[StepResult]) -> list[JsonObject]:
    """The results as clients see them together. If they are large, each content is cut: each step shows its own."""
    together = [result.record for result in results]
    counts = [_counted(record) for record in together]
    characters, steps = sum(count[0] for count in counts), sum(count[1] for count in counts)
    if characters <= MAX_TOGETHER:
        return together
    return [_cut(record, max(MAX_TOGETHER // steps, MIN_CUT)) for record in together]


def _counted(record: JsonObject) -> tuple[int, int]:
    """The characters of the contents and errors in a result, and the number of steps in it."""
    content, below = record["content"], [_counted(step) for step in record.get("steps") or ()]
    if AT in record:
        own = record[AT]["characters"]
    else:
        own = len(content) if isinstance(content, str) else len(jsontext.dumps(content))
    own += len(record["error"] or "")
    return own + sum(count[0] for count in below), 1 + sum(count[1] for count in below)


def _cut(record: JsonObject, most: int) -> JsonObject:
    content, cut = record["content"], dict(record)
    if AT in record:
        if record[AT]["characters"] > most:
            cut[AT] = {**record[AT], "cut_to": most}
    elif len(text := content if isinstance(content, str) else jsontext.dumps(content)) > most:
        cut["content"] = f"{text[:most]}…"
    if len(error := record["error"] or "") > most:
        cut["error"] = f"{error[:most]}…"
    if "steps" in record:
        cut["steps"] = [_cut(step, most) for step in record["steps"]]
    return cut


def _output(position: Position, step: ToolStep, **result: Json) -> StepOutput:
    """The result of a step, with what describes the step.

    :param result: the fields that say what became of it.
    """
    node = position.node
    return StepOutput(
        step_name=node.name,
        step_id=node.step_id,
        step_type=node.type_name,
        executor_type=node.executor_type,
        executor_name=node.executor_name,
        step_run_id=step.child_run_id,
        **result,
    )


def _media_named(name: str, media: Sequence[Medium]) -> list[Media] | None:
    """The media of a kind; None if there are none."""
    return [_as_media(medium) for medium in media if medium.name == name] or None


def _as_media(medium: Medium) -> Media:
    item = medium.item
    return Media(
        content=medium.content,
        url=item.get("url"),
        mime_type=item.get("mime_type") or "",
        filename=item.get("filename"),
        id=item.get("id"),
    )


def _record(output: StepOutput, media: Sequence[Medium]) -> JsonObject:
    items = {name: [medium.item for medium in media if medium.name == name] or None for name in MEDIA_NAMES if media}
    return {
        "content": output.content,
        "step_name": output.step_name,
        "step_id": output.step_id,
        "step_type": output.step_type,
        "executor_type": output.executor_type,
        "executor_name": output.executor_name,
        "step_run_id": output.step_run_id,
        "images": items.get("images"),
        "videos": items.get("videos"),
        "audio": items.get("audio"),
        "files": items.get("files"),
        "metrics": output.metrics,
        "success": output.success,
        "error": output.error,
        "stop": output.stop,
    }
