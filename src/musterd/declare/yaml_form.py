"""The form of ``teams.yaml`` checked: one problem, with its line, for each field of a document that does not fit."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from musterd.core.errors import DeclarationError
from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.mcp_server import MCPServer
from musterd.declare.options import options_of
from musterd.declare.problems import note
from musterd.declare.source_location import listed, nearest, wrong
from musterd.declare.team import Team
from musterd.declare.yaml_document import Document, Location
from musterd.declare.yaml_schema import PATH, SERVER, file_form

Faults = Mapping[Location, DeclarationError]

_MCP = frozenset({"mcp", "mcp_servers", "mcp_tools"})
_TOOL_TAGS = frozenset({PATH, SERVER})


def checked_form(document: Document) -> Any:
    """The file in its form. Fields that do not fit are noted as problems and left out.

    :raises DeclarationError: without what does not fit, the rest cannot be checked.
    """
    if not isinstance(document.value, dict):
        raise wrong(document.place(()), "the file is no mapping", "declare `agents:` and `teams:` at its top")
    faults = {**document.unfilled, **_mcp_faults(document)}
    try:
        form: Any = file_form().model_validate(_without(document, faults))
    except ValidationError as error:
        faults |= _form_faults(document, error)
        form = file_form().model_validate(_without(document, faults))
    if not form.agents and not form.teams:
        cure = "list some under `agents:` or `teams:`"
        raise wrong(document.place(()), "neither agents nor teams are declared", cure)
    return form


def _without(document: Document, faults: Faults) -> Any:
    """The document's value without the fields of agents and teams that have a fault.

    :raises DeclarationError: the fault is not within such a field, or it is in an id, which others may refer to.
    """
    for location, fault in faults.items():
        note(fault, document.place(location[:2]))
    value = copy.deepcopy(document.value) if faults else document.value
    for location, fault in faults.items():
        if len(location) < 3 or location[2] in ("id", "name"):
            raise fault
        kind, index, option = location[:3]
        value[kind][index].pop(option, None)
    return value


def _mcp_faults(document: Document) -> Faults:
    """Say where MCP servers stand, rather than that a field is unknown."""
    mappings: list[tuple[Location, Any]] = [((), document.value)]
    for kind in ("agents", "teams"):
        entries = document.value.get(kind)
        mappings += [((kind, index), entry) for index, entry in enumerate(entries if isinstance(entries, list) else ())]
    cure = "list each server under `tools:` as `- mcp: {command: …}` or `- mcp: {url: …}`"
    return {
        (*location, key): wrong(document.place((*location, key)), f"MCP servers do not stand in '{key}'", cure)
        for location, mapping in mappings
        for key in _MCP.intersection(mapping if isinstance(mapping, dict) else ())
    }


def _form_faults(document: Document, error: ValidationError) -> Faults:
    """What does not fit, by its place in the file: the first of pydantic's errors about each."""
    faults: dict[Location, DeclarationError] = {}
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part not in _TOOL_TAGS)
        faults.setdefault(document.existing(location), _explained(document, location, detail))
    return faults


def _explained(document: Document, location: Location, detail: ErrorDetails) -> DeclarationError:
    place = document.place(location)
    who = "this MCP server" if _is_server(location) else _who(document.value, location)
    name = str(location[-1]) if location else "the file"
    if detail["type"] == "extra_forbidden":
        return wrong(place, f"{who} has no field '{name}'", _cure(location, name))
    if detail["type"] == "missing":
        return wrong(place, f"{who} has no '{name}'", f"add `{name}:`")
    option = next((part for part in reversed(location) if part in _known(location)), name)
    meant = nearest(detail["input"], _choices(location)) if isinstance(detail["input"], str) else None
    cure = f"{detail['msg']}, not {_shown(document, location, detail['input'])}"
    return wrong(place, f"{who}: '{option}' is not right", cure + (f" (did you mean '{meant}'?)" if meant else ""))


def _shown(document: Document, location: Location, value: Any) -> str:
    """What stands at ``location``; never what the environment put there."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    text = repr(document.variable(document.existing(location)) or value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _choices(location: Location) -> Iterable[str]:
    """The texts that the option at ``location`` accepts, if only some are."""
    if len(location) != 3 or not isinstance(location[2], str):
        return ()
    option = options_of(Agent if location[0] == "agents" else Team).get(location[2])
    return option.metadata["kind"].choices if option is not None else ()


def _who(value: Any, location: Sequence[str | int]) -> str:
    """The entry at ``location`` as a sentence names it."""
    if len(location) < 2 or location[0] not in ("agents", "teams"):
        return "the file"
    kind = "agent" if location[0] == "agents" else "team"
    entries = value.get(location[0])
    entry = entries[int(location[1])] if isinstance(entries, list) else None
    known_as = entry.get("id") or entry.get("name") if isinstance(entry, dict) else None
    return f"{kind} '{known_as}'" if known_as else f"{kind} {int(location[1]) + 1}"


def _known(location: Sequence[str | int]) -> list[str]:
    """The fields that the mapping at ``location`` may have."""
    if "budget" in location[2:]:
        return list(options_of(Budget))
    if _is_server(location):
        return list(options_of(MCPServer))
    if len(location) > 1:
        options = options_of(Agent if location[0] == "agents" else Team)
        return [name for name, found in options.items() if found.metadata["yaml"] is not None or name == "budget"]
    return list(file_form().model_fields)


def _is_server(location: Sequence[str | int]) -> bool:
    return len(location) > 5 and location[2] == "tools" and location[4] == "mcp"


def _cure(location: Sequence[str | int], name: str) -> str:
    known = _known(location)
    if _is_server(location):
        return MCPServer.cure(name, known)
    if len(location) > 1:
        return (Agent if location[0] == "agents" else Team).cure(name, known)
    meant = nearest(name, known)
    return f"did you mean '{meant}'?" if meant else f"it may have {listed(known)}"
