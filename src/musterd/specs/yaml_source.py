"""Declarations in YAML: checked against the published form, then turned into the same records as Python's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from musterd.core.errors import DeclarationError
from musterd.specs.agent import Agent
from musterd.specs.budget import Budget
from musterd.specs.declaration import id_from_name
from musterd.specs.mcp_server import MCPServer
from musterd.specs.options import is_output_schema, options_of
from musterd.specs.places import listed, nearest, standing_at, wrong
from musterd.specs.python_source import import_object
from musterd.specs.registry import Registry
from musterd.specs.team import Team
from musterd.specs.yaml_document import Document, read
from musterd.specs.yaml_schema import PATH, SERVER, file_form

Location = tuple[str | int, ...]

_SCHEMAS = frozenset({"input_schema", "output_schema"})
_MCP = frozenset({"mcp", "mcp_servers", "mcp_tools"})
_TOOL_TAGS = frozenset({PATH, SERVER})


def load_yaml(path: Path, environment: Mapping[str, str] | None = None) -> Registry:
    """The registry of the agents and teams that the file at ``path`` declares.

    :raises DeclarationError: the file is wrong somewhere; one line says where and what to do.
    """
    document = read(path, environment)
    _refuse_mcp(document)
    try:
        form: Any = file_form().model_validate(document.value)
    except ValidationError as error:
        raise _explained(document, error) from error
    if not form.agents and not form.teams:
        raise wrong(
            document.place(()),
            "neither agents nor teams are declared",
            "list some under `agents:` or `teams:`",
        )
    building = _Building(document=document)
    building.note(form)
    declared = [building.component(found, ()) for found in building.entries]
    teams = [found for found in declared if isinstance(found, Team)]
    agents = [found for found in declared if isinstance(found, Agent)]
    return Registry.of(teams=teams, agents=agents)


@dataclass(kw_only=True)
class _Building:
    """What is built so far: teams wait for their members."""

    document: Document
    entries: dict[str, tuple[Any, Location]] = field(default_factory=dict)
    built: dict[str, Agent | Team] = field(default_factory=dict)

    def note(self, form: Any) -> None:
        """Remember where each id is declared; members are named by id, so agents and teams share them."""
        for kind in ("agents", "teams"):
            for index, entry in enumerate(getattr(form, kind) or ()):
                place = self.document.place((kind, index, "id"))
                known_as = entry.id or id_from_name(entry.name or "")
                if not known_as:
                    raise wrong(place, f"{kind[:-1]} {index + 1} has neither id nor name", "add `id:`")
                if known_as in self.entries:
                    first = self.document.place((*self.entries[known_as][1], "id"))
                    what = f"the id '{known_as}' is declared twice, first at {first}"
                    raise wrong(place, what, "give one of them another id")
                self.entries[known_as] = (entry, (kind, index))

    def component(self, known_as: str, leaders: tuple[str, ...]) -> Agent | Team:
        """The agent or team with this id, its members first."""
        entry, location = self.entries[known_as]
        if known_as in leaders:
            way = " → ".join((*leaders[leaders.index(known_as) :], known_as))
            what = f"team '{known_as}' is a member of itself ({way})"
            raise wrong(self.document.place((*location, "members")), what, "take it out of one `members:` list")
        if known_as not in self.built:
            given = self._given(entry, location)
            if given.get("members") is not None:
                given["members"] = [
                    self._member(member, (*location, "members", index), (*leaders, known_as))
                    for index, member in enumerate(entry.members)
                ]
            with standing_at(self.document.place(location)):
                self.built[known_as] = (Agent if location[0] == "agents" else Team)(**given)
        return self.built[known_as]

    def _member(self, member_id: str, location: Location, leaders: tuple[str, ...]) -> Agent | Team:
        if member_id not in self.entries:
            meant = nearest(member_id, self.entries)
            cure = f"did you mean '{meant}'?" if meant else f"the file declares {listed(self.entries)}"
            raise wrong(self.document.place(location), f"there is no agent or team '{member_id}'", cure)
        return self.component(member_id, leaders)

    def _given(self, entry: BaseModel, location: Location) -> dict[str, Any]:
        """What the entry says, with imported objects in place of their paths."""
        given = {name: getattr(entry, name) for name in entry.model_fields_set}
        if given.get("tools") is not None:
            given["tools"] = [self._tool(one, (*location, "tools", at)) for at, one in enumerate(given["tools"])]
        for name in ("pre_hooks", "post_hooks"):
            if given.get(name) is not None:
                given[name] = [self._imported(path, (*location, name, at)) for at, path in enumerate(given[name])]
        for option in _SCHEMAS.intersection(given):
            if isinstance(schema := given[option], str):
                at, words = (*location, option), option.replace("_", " ")
                given[option] = self._imported(schema, at)
                if not is_output_schema(given[option]):
                    raise wrong(self.document.place(at), f"'{schema}' is no {words}", "name a pydantic model class")
        if given.get("budget") is not None:
            with standing_at(self.document.place((*location, "budget"))):
                given["budget"] = Budget(**given["budget"].model_dump(exclude_unset=True))
        return given

    def _tool(self, given: Any, location: Location) -> Any:
        if isinstance(given, str):
            return self._imported(given, location)
        with standing_at(self.document.place((*location, "mcp"))):
            return MCPServer(**given.mcp.model_dump(exclude_unset=True))

    def _imported(self, path: str, location: Location) -> Any:
        try:
            return import_object(path, self.document.path.parent)
        except DeclarationError as error:
            raise DeclarationError(f"{self.document.place(location)}: {error.message}") from error


def _refuse_mcp(document: Document) -> None:
    """Say where MCP servers stand, rather than that a field is unknown."""
    value = document.value
    if not isinstance(value, dict):
        raise wrong(document.place(()), "the file is no mapping", "declare `agents:` and `teams:` at its top")
    places: list[tuple[Location, Any]] = [((), value)]
    for kind in ("agents", "teams"):
        for index, entry in enumerate(value.get(kind) or () if isinstance(value.get(kind), list) else ()):
            places.append(((kind, index), entry))
    for location, found in places:
        for key in _MCP.intersection(found if isinstance(found, dict) else ()):
            cure = "list each server under `tools:` as `- mcp: {command: …}` or `- mcp: {url: …}`"
            raise wrong(document.place((*location, key)), f"MCP servers do not stand in '{key}'", cure)


def _explained(document: Document, error: ValidationError) -> DeclarationError:
    """The first thing that is wrong in the file, with its line."""
    found = min(error.errors(include_url=False), key=lambda one: document.place(_place_of(one["loc"])).line or 0)
    location = _place_of(found["loc"])
    place = document.place(location)
    who = "this MCP server" if _is_server(location) else _who(document.value, location)
    name = str(location[-1]) if location else "the file"
    if found["type"] == "extra_forbidden":
        return wrong(place, f"{who} has no field '{name}'", _cure(location, name))
    if found["type"] == "missing":
        return wrong(place, f"{who} has no '{name}'", f"add `{name}:`")
    field_name = next((part for part in reversed(location) if part in _known(location)), name)
    return wrong(place, f"{who}: '{field_name}' is not right", f"{found['msg']}, not {_shown(found['input'])}")


def _place_of(location: Location) -> Location:
    return tuple(part for part in location if part not in _TOOL_TAGS)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


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
