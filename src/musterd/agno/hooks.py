"""Agno's hooks and guardrails before and after a run."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from musterd.agno.functions import agno_values, is_async_database, is_team
from musterd.agno.report import Report
from musterd.core.errors import InputCheckError, OutputCheckError, RunFailed
from musterd.declare.hooks import check_hook_parameters, hook_arguments, hook_function, hook_name, is_hook
from musterd.declare.library_tools.agno_media import agno_medium
from musterd.declare.problems import note, noting_problems
from musterd.declare.source_location import Place, declaration_error, describe_type

NAME_BYTES, HASH_DIGITS = 60, 10
"""The lengths of a value in the name of a file, and of the hash of a value that is cut or changed."""
_MEDIA = ("images", "videos", "audios", "files")
_SUBJECTS = {"pre_hooks": "run_input", "post_hooks": "run_output"}
"""The parameter that gets what a hook checks."""
_HASHED = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}$")


def converted_hooks(
    name: Literal["pre_hooks", "post_hooks"], owner: Any, label: str, place: Place, report: Report, *, skip_evals: bool
) -> list[Callable[..., Any]]:
    """Convert the hooks of Agno's agent or team ``owner``. Each hook that cannot be used is noted as a problem.

    :param name: the option that lists the hooks.
    :param skip_evals: whether to skip evals, because they call models of their own.
    """
    converted = []
    for hook in getattr(owner, name) or ():
        is_eval = any(cls.__name__ == "BaseEval" for cls in type(hook).__mro__)
        if is_eval and skip_evals:
            report.here(f"evals in {name}", "they are skipped while MUSTERD_MODEL_OVERRIDE replaces the models", place)
            continue
        if not is_eval and not is_hook(hook):
            problem = f"{label}: a hook is {describe_type(hook)}"
            note(declaration_error(place, problem, "use a function, a guardrail or an eval"), place)
            continue
        if not is_eval:
            # Agno logs at each run that such a hook cannot be called, and goes on without it.
            subject, kind = _SUBJECTS[name], "team" if is_team(owner) else "agent"
            with noting_problems(place):
                check_hook_parameters(hook, subject, label, kind, place)
        if getattr(hook, "_agno_run_in_background", False) or (is_eval and getattr(hook, "run_in_background", False)):
            report.here("run_in_background=True", "hooks finish before the run does", place)
        if not is_eval and "session" in inspect.signature(hook_function(hook)).parameters:
            report.here(f"session in {name}", "it has its ids, data and metadata, but no runs and no summary", place)
        converted.append(_converted(_check_of(hook, name) if is_eval else hook, owner))
    return converted


def _check_of(evaluation: Any, name: Literal["pre_hooks", "post_hooks"]) -> Callable[..., Any]:
    """The method with which an eval checks a run. It stores its result in the eval's own database."""
    moment = name.removesuffix("_hooks")
    is_async = is_async_database(getattr(evaluation, "db", None))
    method = f"async_{moment}_check" if is_async else f"{moment}_check"
    declared: Callable[..., Any] = getattr(evaluation, method)

    # Agno takes the database from the object during a check. Runs that end at the same time would share the object,
    # and the last one would restore the missing database of another one, so each check has its own copy.
    async def check_async(**arguments: Any) -> Any:
        return await getattr(copy.copy(evaluation), method)(**arguments)

    def check(**arguments: Any) -> Any:
        return getattr(copy.copy(evaluation), method)(**arguments)

    return functools.wraps(declared)(check_async if inspect.iscoroutinefunction(declared) else check)


def file_writer(pattern: str, owner: Any) -> Callable[..., None]:
    """A post-hook that writes the answer to a file.

    :param pattern: the path of the file, which may contain ``{name}``, ``{session_id}``, ``{user_id}``, ``{message}``
        and ``{run_id}``.
    """

    def save_response_to_file(run_output: Any, user_id: str | None) -> None:
        values = {
            "name": owner.name,
            "session_id": run_output.session_id,
            "user_id": user_id,
            "message": run_output.input.input_content,
            "run_id": run_output.run_id,
        }
        path = Path(pattern.format(**{name: _as_file_name(value) for name, value in values.items()}))
        path.parent.mkdir(parents=True, exist_ok=True)
        content = run_output.content
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")

    return save_response_to_file


def _as_file_name(value: Any) -> str:
    """A value as a part of a file's name: short, and without characters that could lead to another folder.

    A name that differs from its value ends with a hash of the value, so that two values never share a file.
    """
    if value is None or value == "":
        return "_"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    encoded = text.encode("utf-8", "replace")
    name = re.sub(r"[/\\\0]|\.\.|^\.$", "_", encoded[:NAME_BYTES].decode("utf-8", "ignore"))
    if name == text and name != "_" and not _HASHED.search(name):
        return name
    return f"{name}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:HASH_DIGITS]}"


def _converted(hook: Any, owner: Any) -> Callable[..., Any]:
    """A hook of musterd that calls one of Agno's with Agno's objects, and takes over what it changed."""
    function = hook_function(hook)

    # They take all values, because Agno fills more parameters by name than musterd does.
    async def call_async(**values: Any) -> None:
        with agno_values(values, owner) as arguments:
            _add_objects(arguments, values, owner)
            try:
                await function(**hook_arguments(hook, arguments))
            except Exception as error:
                raise _translated(error) from error
            _take_over(hook, values, arguments, owner)

    def call(**values: Any) -> None:
        with agno_values(values, owner) as arguments:
            _add_objects(arguments, values, owner)
            try:
                function(**hook_arguments(hook, arguments))
            except Exception as error:
                raise _translated(error) from error
            _take_over(hook, values, arguments, owner)

    wrapper: Any = call_async if inspect.iscoroutinefunction(function) else call
    wrapper.__name__ = hook_name(hook)
    # A guardrail that masks personal data must not have events show the message as it was before.
    wrapper.hides_input = bool(getattr(hook, "mask_pii", False))
    return wrapper  # type: ignore[no-any-return]


def _add_objects(arguments: dict[str, Any], values: dict[str, Any], owner: Any) -> None:
    """Replace what only hooks get by Agno's objects."""
    if "session" in values:
        arguments["session"] = _agno_session(values["session"], owner)
    if "run_input" in values:
        arguments["run_input"] = _agno_input(values["run_input"], owner)
    if "run_output" in values:
        arguments["run_output"] = _agno_output(values, owner)


def _take_over(hook: Any, values: dict[str, Any], arguments: dict[str, Any], owner: Any) -> None:
    """Take over what a hook changed.

    :raises RunFailed: it changed the media of the input. The model would still read the original ones.
    """
    if "run_input" in values:
        original, changed = _agno_input(values["run_input"], owner), arguments["run_input"]
        if _media_sources(changed) != _media_sources(original):
            problem = f"The hook '{hook_name(hook)}' changed the images, videos, audios or files of the message."
            raise RunFailed(f"{problem} musterd cannot take over such a change.", "hook_failed")
        if changed.input_content != original.input_content:
            values["run_input"].input_content = changed.input_content_string()
    if "run_output" in values:
        content = arguments["run_output"].content
        is_model = hasattr(content, "model_dump_json")
        values["run_output"].content = json.loads(content.model_dump_json()) if is_model else content


def _media_sources(run_input: Any) -> list[list[tuple[Any, ...]]]:
    """The addresses and contents of the media of Agno's input, by kind."""
    return [
        [
            tuple(getattr(medium, source, None) for source in ("url", "filepath", "content"))
            for medium in getattr(run_input, kind) or ()
        ]
        for kind in _MEDIA
    ]


def _agno_session(context: Any, owner: Any) -> Any:
    """Agno's session of a run, with the run's own session state. musterd has not read the earlier runs."""
    from agno.session import AgentSession, TeamSession

    kind, cls = ("team", TeamSession) if is_team(owner) else ("agent", AgentSession)
    return cls(
        session_id=context.session_id,
        user_id=context.user_id,
        session_data={"session_state": context.session_state},
        metadata=context.metadata,
        runs=[],
        **{f"{kind}_id": owner.id},
    )


def _agno_input(run_input: Any, owner: Any) -> Any:
    from agno.run.agent import RunInput
    from agno.run.team import TeamRunInput

    content: Any = run_input.input_content
    schema = owner.input_schema
    if isinstance(schema, type) and hasattr(schema, "model_validate_json"):
        content = schema.model_validate_json(content)
    cls = TeamRunInput if is_team(owner) else RunInput
    media = {name: [_agno_medium(name, item) for item in getattr(run_input, name)] for name in _MEDIA}
    return cls(input_content=content, **media)


def _agno_medium(name: str, item: Any) -> Any:
    if isinstance(item, str):
        return agno_medium("files", content=item)
    if (url := getattr(item, "url", None)) is not None:
        return agno_medium(name, url=url)
    return agno_medium(name, content=item.data, mime_type=item.media_type)


def _agno_output(values: dict[str, Any], owner: Any) -> Any:
    from agno.models.response import ToolExecution
    from agno.run.agent import RunOutput
    from agno.run.team import TeamRunOutput

    output, kind = values["run_output"], "team" if is_team(owner) else "agent"
    content, schema = output.content, owner.output_schema
    if isinstance(schema, type) and not isinstance(content, str):
        content = schema.model_validate(content)  # type: ignore[attr-defined]
    tools = [
        ToolExecution(
            tool_name=tool.get("name"),
            tool_args=tool.get("args"),
            result=tool.get("result"),
            tool_call_error=tool.get("is_error"),
        )
        for tool in output.tools
    ]
    cls = TeamRunOutput if kind == "team" else RunOutput
    ids = {f"{kind}_id": owner.id, f"{kind}_name": owner.name}
    return cls(
        run_id=output.run_id,
        session_id=output.session_id,
        user_id=values.get("user_id"),
        input=_agno_input(output.input, owner),
        content=content,
        content_type=output.content_type,
        tools=tools,
        session_state=values.get("session_state"),
        metadata=values.get("metadata"),
        **ids,
    )


def _translated(error: Exception) -> Exception:
    """Agno's refusal of an input or an answer as musterd's; any other exception unchanged."""
    names = {cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "agno.exceptions"}
    for name, ours in (("InputCheckError", InputCheckError), ("OutputCheckError", OutputCheckError)):
        if name in names:
            trigger = getattr(error, "check_trigger", None)
            return ours(
                str(getattr(error, "message", error)),
                check_trigger=getattr(trigger, "value", trigger),
                additional_data=getattr(error, "additional_data", None),
            )
    return error
