"""Declarations in YAML: checked against the published form, then turned into the same records as Python's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from musterd.core.errors import DeclarationError
from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.declaration import id_from_name
from musterd.declare.mcp_server import MCPServer
from musterd.declare.options import is_output_schema
from musterd.declare.problems import note, noted, reported_together
from musterd.declare.python_source import import_object
from musterd.declare.registry import Registry
from musterd.declare.source_location import listed, nearest, standing_at, wrong
from musterd.declare.team import Team
from musterd.declare.yaml_document import Document, Location, read
from musterd.declare.yaml_form import checked_form

_SCHEMAS = frozenset({"input_schema", "output_schema"})


def load_yaml(path: Path, environment: Mapping[str, str] | None = None) -> Registry:
    """The registry of the agents and teams that the file at ``path`` declares.

    :raises DeclarationError: the file is wrong somewhere; one line for each problem says where and what to do.
    """
    with reported_together():
        document = read(path, environment)
        building = _Building(document=document)
        building.note_ids(checked_form(document))
        declared = [building.component(known_as, ()) for known_as in building.entries]
        teams = [component for component in declared if isinstance(component, Team)]
        agents = [component for component in declared if isinstance(component, Agent)]
        registry = Registry.of(teams=teams, agents=agents)
    return registry


@dataclass(kw_only=True)
class _Building:
    """What is built so far: teams wait for their members."""

    document: Document
    entries: dict[str, tuple[Any, Location]] = field(default_factory=dict)
    built: dict[str, Agent | Team] = field(default_factory=dict)

    def note_ids(self, form: Any) -> None:
        """Remember where each id is declared; members are named by id, so agents and teams share them."""
        for kind in ("agents", "teams"):
            for index, entry in enumerate(getattr(form, kind) or ()):
                place = self.document.place((kind, index, "id"))
                known_as = entry.id or id_from_name(entry.name or "")
                if not known_as:
                    note(wrong(place, f"{kind[:-1]} {index + 1} has neither id nor name", "add `id:`"))
                    continue
                if known_as in self.entries:
                    first = self.document.place((*self.entries[known_as][1], "id"))
                    what = f"the id '{known_as}' is declared twice, first at {first}"
                    note(wrong(place, what, "give one of them another id"))
                    continue
                self.entries[known_as] = (entry, (kind, index))

    def component(self, known_as: str, leaders: tuple[str, ...]) -> Agent | Team:
        """The agent or team with this id, its members first."""
        entry, location = self.entries[known_as]
        if known_as in leaders:
            way = " → ".join((*leaders[leaders.index(known_as) :], known_as))
            what = f"team '{known_as}' is a member of itself ({way})"
            raise wrong(self.document.place((*location, "members")), what, "take it out of one `members:` list")
        if known_as not in self.built:
            place = self.document.place(location)
            given = self._given(entry, location)
            if given.get("members") is not None:
                given["members"] = members = []
                for index, member in enumerate(entry.members):
                    with noted(place):
                        members.append(self._member(member, (*location, "members", index), (*leaders, known_as)))
            with standing_at(place):
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
        for option, read_entry in _IMPORTED.items():
            if given.get(option) is not None:
                paths, given[option] = given[option], []
                for at, path in enumerate(paths):
                    with noted(self.document.place(location)):
                        given[option].append(read_entry(self, path, (*location, option, at)))
        for option in _SCHEMAS.intersection(given):
            if isinstance(given[option], str):
                path, given[option] = given[option], None
                with noted(self.document.place(location)):
                    given[option] = self._schema(path, (*location, option))
        if given.get("budget") is not None:
            with standing_at(self.document.place((*location, "budget"))):
                given["budget"] = Budget(**given["budget"].model_dump(exclude_unset=True))
        return given

    def _tool(self, given: Any, location: Location) -> Any:
        if isinstance(given, str):
            return self._imported(given, location)
        with standing_at(self.document.place((*location, "mcp"))):
            return MCPServer(**given.mcp.model_dump(exclude_unset=True))

    def _schema(self, path: str, location: Location) -> Any:
        schema = self._imported(path, location)
        if not is_output_schema(schema):
            what = f"'{path}' is no {str(location[-1]).replace('_', ' ')}"
            raise wrong(self.document.place(location), what, "name a pydantic model class")
        return schema

    def _imported(self, path: str, location: Location) -> Any:
        try:
            return import_object(path, self.document.path.parent)
        except DeclarationError as error:
            place = self.document.place(location)
            if (written := self.document.variable(location)) is not None:
                # The message would name parts of the variable's value, which nothing may print.
                raise wrong(place, f"'{written}' cannot be imported", "correct the variable's value") from error
            raise DeclarationError(
                "\n".join(f"{place}: {problem}" for problem in error.message.splitlines())
            ) from error


_IMPORTED = {"tools": _Building._tool, "pre_hooks": _Building._imported, "post_hooks": _Building._imported}
"""Options whose entries are import paths, and what reads an entry."""
