"""Validates ``teams.yaml`` and notes a problem with its line for each invalid field."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from musterd.core.errors import DeclarationError
from musterd.core.suggestions import closest_match
from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.knowledge import Knowledge
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import Declared, options_of
from musterd.declare.problems import note
from musterd.declare.schedule import Schedule
from musterd.declare.source_location import declaration_error, quoted_list
from musterd.declare.team import Team
from musterd.declare.workflow.steps import Step, StepOptions
from musterd.declare.workflow.workflow import Workflow
from musterd.declare.workflow.workflow_agent import WorkflowAgent
from musterd.declare.yaml_document import Document, Location
from musterd.declare.yaml_schema import CONTAINERS, STEP_LISTS, TAGS, file_form

Faults = Mapping[Location, DeclarationError]

_MCP = frozenset({"mcp", "mcp_servers", "mcp_tools"})
_KINDS: Mapping[str, type[Declared]] = {
    "agents": Agent,
    "teams": Team,
    "workflows": Workflow,
    "schedules": Schedule,
    "knowledge": Knowledge,
}
"""What the entries of each list declare."""
_NESTED: Mapping[str, type[Declared]] = {"budget": Budget, "memory_manager": MemoryManager}
"""Options of these entries that are mappings, with what each declares."""
_NAMES = frozenset({"id", "name"})


def checked_form(document: Document) -> tuple[Any, bool]:
    """Validate the file. What is not valid is noted as a problem and left out.

    :return: the form, and whether it has all entries under the ids that others know.
    :raises DeclarationError: the file declares nothing.
    """
    if not isinstance(document.value, dict):
        raise declaration_error(
            document.place(()), "the file is not a mapping", "declare `agents:`, `teams:` and `workflows:` at its top"
        )
    has_unknown_fields = _correct_fields(document)
    is_complete = _leave_out(document, {**document.unfilled, **_mcp_faults(document)})
    try:
        form: Any = file_form().model_validate(document.value)
    except ValidationError as error:
        is_complete &= _leave_out(document, _form_faults(document, error))
        form = file_form().model_validate(document.value)
    is_empty = not form.agents and not form.teams and not form.workflows
    if is_empty and is_complete and not has_unknown_fields:
        fix = "list some under `agents:`, `teams:` or `workflows:`"
        raise declaration_error(document.place(()), "no agents, teams or workflows are declared", fix)
    return form, is_complete


def _correct_fields(document: Document) -> bool:
    """Note the fields that the file cannot have, and replace each by the one that was meant, or remove it.

    Otherwise none of the other problems could be reported: a component of a misspelt list would be missing elsewhere.
    """
    known_fields, has_unknown_fields = [*file_form().model_fields], False
    for key, _ in document.root.value:
        name = key.value
        if name not in document.value or name in known_fields or name in _MCP:
            continue
        has_unknown_fields = True
        note(declaration_error(document.place((name,)), f"the file has no field '{name}'", _suggest_fix((name,), name)))
        value, meant = document.value.pop(name), closest_match(name, known_fields)
        if meant is not None and meant not in document.value:
            key.value, document.value[meant] = meant, value  # the node as well, which has the lines of the entries
    return has_unknown_fields


def _leave_out(document: Document, faults: Faults) -> bool:
    """Note the faults, and remove from the document what has them.

    An entry whose id is not valid gets another one, so that the rest of it is checked.

    :return: whether each entry can be found under the id that others know.
    """
    for location, fault in faults.items():
        note(fault, document.place(location[:2]))
    is_complete = True
    for location in sorted(faults, key=_place_in_file, reverse=True):  # the indexes of those before stay as they are
        field, index, option = (*location, None, None)[:3]
        entries = document.value.get(field)
        if not isinstance(entries, list) or not isinstance(index, int):
            document.remove(str(field))
            is_complete = False
        elif not isinstance(entry := entries[index], dict) or option is None:
            document.remove(str(field), index)
            is_complete = False
        else:
            entry.pop(option, None)
            if option in _NAMES:
                name = f"line-{document.place(location).line}-{index}"
                entry.setdefault("name" if field == "schedules" else "id", name)
                is_complete = False
    return is_complete


def _place_in_file(location: Location) -> tuple[str, int]:
    """What faults are sorted by."""
    index = location[1] if len(location) > 1 else 0
    return str(location[0]), index if isinstance(index, int) else 0


def _mcp_faults(document: Document) -> Faults:
    """Faults for misplaced MCP servers, which explain where to declare them."""
    mappings: list[tuple[Location, Any]] = [((), document.value)]
    for kind in _KINDS:
        entries = document.value.get(kind)
        mappings += [((kind, index), entry) for index, entry in enumerate(entries if isinstance(entries, list) else ())]
    fix = "list each server under `tools:` as `- mcp: {command: …}` or `- mcp: {url: …}`"
    return {
        (*location, key): declaration_error(
            document.place((*location, key)), f"MCP servers cannot be declared in '{key}'", fix
        )
        for location, mapping in mappings
        for key in _MCP.intersection(mapping if isinstance(mapping, dict) else ())
    }


def _form_faults(document: Document, error: ValidationError) -> Faults:
    """The faults by location in the file: pydantic's first error about each."""
    faults: dict[Location, DeclarationError] = {}
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part not in TAGS)
        faults.setdefault(document.existing(location), _fault_error(document, location, detail))
    return faults


def _fault_error(document: Document, location: Location, detail: ErrorDetails) -> DeclarationError:
    place = document.place(location)
    label = "this MCP server" if _is_mcp_server(location) else _entry_label(document.value, location)
    if len(location) > 1 and issubclass(_declared_class(location), StepOptions):
        label = f"a step of {label}"
    elif len(location) > 1 and _declared_class(location) is WorkflowAgent:
        label = f"the agent of {label}"
    name = next((part for part in reversed(location) if isinstance(part, str)), "the file")
    if detail["type"] == "extra_forbidden":
        return declaration_error(place, f"{label} has no field '{name}'", _suggest_fix(location, name))
    if detail["type"] == "missing":
        return declaration_error(place, f"{label} has no '{name}'", f"add `{name}:`")
    option = next((part for part in reversed(location) if part in _known_fields(location)), name)
    suggestion = closest_match(detail["input"], _choices(location)) if isinstance(detail["input"], str) else None
    fix = f"{detail['msg']}, not {_format_value(document, location, detail['input'])}"
    return declaration_error(
        place, f"{label}: '{option}' is not valid", fix + (f" (did you mean '{suggestion}'?)" if suggestion else "")
    )


def _format_value(document: Document, location: Location, value: Any) -> str:
    """The value at ``location`` for a message, with variables instead of their values."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    text = repr(document.variable(document.existing(location)) or value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _choices(location: Location) -> Iterable[str]:
    """The accepted strings of the option at ``location``, if only certain ones are."""
    if len(location) < 3:
        return ()
    option = options_of(_declared_class(location[:-1])).get(str(location[-1]))
    return option.metadata["kind"].choices if option is not None else ()


def _entry_label(value: Any, location: Sequence[str | int]) -> str:
    """The entry at ``location`` as error messages name it."""
    if len(location) < 2 or location[0] not in _KINDS:
        return "the file"
    kind = _KINDS[str(location[0])].kind
    entries = value.get(location[0])
    entry = entries[int(location[1])] if isinstance(entries, list) else None
    component_id = entry.get("id") or entry.get("name") if isinstance(entry, dict) else None
    return f"{kind} '{component_id}'" if component_id else f"{kind} {int(location[1]) + 1}"


def _known_fields(location: Sequence[str | int]) -> list[str]:
    """The allowed fields of the mapping at ``location``."""
    for option, declared in _NESTED.items():
        if option in location[2:]:
            return list(options_of(declared))
    if len(location) > 1:
        options = options_of(_declared_class(location))
        return [name for name, option in options.items() if option.metadata["yaml"] is not None or name in _NESTED]
    return list(file_form().model_fields)


def _declared_class(location: Sequence[str | int]) -> type[Declared]:
    """The class that the mapping at ``location``, or the closest one that contains it, declares."""
    if _is_mcp_server(location):
        return MCPServer
    declared = _KINDS.get(str(location[0]), Agent)
    if declared is Workflow:
        if len(location) > 3 and location[2] == "agent":
            return WorkflowAgent
        for above, part in itertools.pairwise(location):
            if above in STEP_LISTS and isinstance(part, int):
                declared = Step
            elif isinstance(above, int) and part in CONTAINERS:
                declared = CONTAINERS[str(part)]
    return declared


def _is_mcp_server(location: Sequence[str | int]) -> bool:
    return len(location) > 5 and location[2] == "tools" and location[4] == "mcp"


def _suggest_fix(location: Sequence[str | int], name: str) -> str:
    known_fields = _known_fields(location)
    if len(location) > 1:
        cls = _declared_class(location)
        return cls.fix(name, [*known_fields, *(CONTAINERS if cls is Step else ())])
    suggestion = closest_match(name, known_fields)
    return f"did you mean '{suggestion}'?" if suggestion else f"it may have {quoted_list(known_fields)}"
