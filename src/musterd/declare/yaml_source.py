"""Loads declarations from YAML: validates them and builds the same records as declarations in Python."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from musterd.core.errors import DeclarationError
from musterd.core.suggestions import closest_match
from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.declaration import id_from_name
from musterd.declare.knowledge import Knowledge
from musterd.declare.mcp_server import MCPServer
from musterd.declare.memory_manager import MemoryManager
from musterd.declare.options import is_output_schema
from musterd.declare.problems import note, noting_problems, reported_together
from musterd.declare.python_source import import_object
from musterd.declare.registry import Registry
from musterd.declare.schedule import Schedule
from musterd.declare.source_location import Place, declaration_error, placed_at, quoted_list
from musterd.declare.team import Team
from musterd.declare.toolkit import TOOLKITS
from musterd.declare.workflow.steps import Step, StepOptions
from musterd.declare.workflow.workflow import Workflow
from musterd.declare.workflow.workflow_agent import WorkflowAgent
from musterd.declare.yaml_document import Document, Location, read
from musterd.declare.yaml_form import checked_form
from musterd.declare.yaml_schema import CONTAINERS, STEP_LISTS, ContainerItem

_CLASSES: dict[str, type[Agent | Team | Workflow]] = {"agents": Agent, "teams": Team, "workflows": Workflow}
_RUN_BY_STEPS = ("agent", "team", "workflow")
_SCHEMAS = frozenset({"input_schema", "output_schema"})
_NESTED: dict[str, type[Budget | MemoryManager | WorkflowAgent]] = {
    "budget": Budget,
    "memory_manager": MemoryManager,
    "agent": WorkflowAgent,
}
"""Options that are mappings, with what each declares."""


def load_yaml(path: Path, environment: Mapping[str, str] | None = None) -> Registry:
    """The registry of the agents, teams and workflows that the file at ``path`` declares.

    :raises DeclarationError: the file has problems. The message has one line for each.
    """
    with reported_together():
        document = read(path, environment)
        form, is_complete = checked_form(document)
        builder = _Builder(document=document, is_complete=is_complete)
        builder.register_ids(form)
        builder.build_knowledge(form)
        components = list(builder.components())
        teams = [component for component in components if isinstance(component, Team)]
        agents = [component for component in components if isinstance(component, Agent)]
        workflows = [component for component in components if isinstance(component, Workflow)]
        schedules = builder.schedules(form)
        registry = Registry.of(
            teams=teams,
            agents=agents,
            workflows=workflows,
            schedules=schedules,
            knowledge=builder.knowledge.values(),
        )
    return registry


class _Missing(Exception):
    """An entry was left out because of a problem that was noted, and may be the one that is referred to."""


@dataclass(kw_only=True)
class _Builder:
    """Builds knowledge bases, agents, teams and workflows, each before what contains or uses it.

    :param is_complete: whether no entry was left out.
    """

    document: Document
    is_complete: bool
    entries: dict[str, tuple[Any, Location]] = field(default_factory=dict)
    built: dict[str, Agent | Team | Workflow] = field(default_factory=dict)
    knowledge: dict[str, Knowledge] = field(default_factory=dict)

    def register_ids(self, form: Any) -> None:
        """Register the location of each id. All kinds share one namespace, because members are named by id."""
        for kind in _CLASSES:
            for index, entry in enumerate(getattr(form, kind) or ()):
                place = self.document.place((kind, index, "id"))
                component_id = entry.id or id_from_name(entry.name or "")
                if not component_id:
                    note(declaration_error(place, f"{kind[:-1]} {index + 1} has neither id nor name", "add `id:`"))
                    continue
                if component_id in self.entries:
                    first_place = self.document.place((*self.entries[component_id][1], "id"))
                    problem = f"the id '{component_id}' is declared twice, first at {first_place}"
                    note(declaration_error(place, problem, "give one of them another id"))
                    continue
                self.entries[component_id] = (entry, (kind, index))

    def components(self) -> Iterator[Agent | Team | Workflow]:
        """Build all components. Those that have problems are left out."""
        for component_id, (_, location) in self.entries.items():
            with self._noting_problems(self.document.place(location)):
                yield self.component(component_id, ())

    def component(self, component_id: str, leaders: tuple[str, ...]) -> Agent | Team | Workflow:
        """Build the component with this id, after what it contains."""
        entry, location = self.entries[component_id]
        if component_id in leaders:
            chain = " → ".join((*leaders[leaders.index(component_id) :], component_id))
            option, problem = "members", f"team '{component_id}' is a member of itself ({chain})"
            if location[0] == "workflows":
                option, problem = "steps", f"workflow '{component_id}' is a step of itself ({chain})"
            place = self.document.place((*location, option))
            raise declaration_error(place, problem, f"remove it from one `{option}:` list")
        if component_id not in self.built:
            place = self.document.place(location)
            fields = self._fields(entry, location)
            if fields.get("members") is not None:
                fields["members"] = members = []
                for index, member in enumerate(entry.members):
                    with self._noting_problems(place):
                        members.append(self._member(member, (*location, "members", index), (*leaders, component_id)))
            if fields.get("steps") is not None:
                fields["steps"] = self._steps(entry.steps, (*location, "steps"), (*leaders, component_id))
            if fields.get("knowledge") is not None:
                with self._noting_problems(place):
                    fields["knowledge"] = self._knowledge_of(fields.pop("knowledge"), (*location, "knowledge"))
            with placed_at(place):
                self.built[component_id] = _CLASSES[str(location[0])](**fields)
        return self.built[component_id]

    def build_knowledge(self, form: Any) -> None:
        """Build the knowledge bases. Their ids are a namespace of their own."""
        for index, entry in enumerate(form.knowledge or ()):
            place, fields = self.document.place(("knowledge", index)), self._fields(entry, ("knowledge", index))
            if fields.get("folder") is not None:
                fields["folder"] = self.document.path.parent / fields["folder"]
            with noting_problems(place), placed_at(place):
                base = Knowledge(**fields)
                if not base.id:
                    raise declaration_error(place, f"knowledge {index + 1} has neither id nor name", "add `id:`")
                if (first := self.knowledge.setdefault(base.id, base)) is not base:
                    problem = f"{base.label} is declared twice, first at {first.declared_at}"
                    raise declaration_error(place, problem, "give one of them another id")

    def schedules(self, form: Any) -> list[Schedule]:
        """Build the schedules, after the agents and teams that they run."""
        schedules = []
        for index, entry in enumerate(form.schedules or ()):
            location: Location = ("schedules", index)
            place, fields = self.document.place(location), self._fields(entry, location)
            component_id, stand_in = fields.get("run"), Agent(id="missing")
            if component_id is not None:
                fields["run"] = stand_in  # in place of an unknown one, so that the other fields are checked, too
                with self._noting_problems(place):
                    fields["run"] = self._member(component_id, (*location, "run"), ())
            with self._noting_problems(place), placed_at(place):
                schedule = Schedule(**fields)
                if schedule.run is not stand_in:
                    schedules.append(schedule)
        return schedules

    @contextlib.contextmanager
    def _noting_problems(self, place: Place) -> Iterator[None]:
        """Note the problem of what the code inside builds, and leave it out."""
        with noting_problems(place), contextlib.suppress(_Missing):
            yield

    def _steps(self, items: list[Any], location: Location, leaders: tuple[str, ...]) -> list[Any]:
        """The steps of a list, in which an id stands for a step that runs it."""
        steps = []
        for index, item in enumerate(items):
            with self._noting_problems(self.document.place(location[:-1])):
                steps.append(self._step(item, (*location, index), leaders))
        return steps

    def _step(self, item: Any, location: Location, leaders: tuple[str, ...]) -> Any:
        if isinstance(item, str):
            return self._member(item, location, leaders)
        cls: type[StepOptions] = Step
        if isinstance(item, ContainerItem):
            kind, item = item.content()
            cls, location = CONTAINERS[kind], (*location, kind)
        fields = {name: getattr(item, name) for name in item.model_fields_set}
        for option in STEP_LISTS:
            if fields.get(option) is not None:
                fields[option] = self._steps(fields[option], (*location, option), leaders)
        for option in _RUN_BY_STEPS:
            if fields.get(option) is not None:
                fields[option] = self._member(fields[option], (*location, option), leaders)
        if fields.get("executor") is not None:
            fields["executor"] = self._import(fields["executor"], (*location, "executor"))
        with placed_at(self.document.place(location)):
            return cls(**fields)

    def _member(self, member_id: str, location: Location, leaders: tuple[str, ...]) -> Agent | Team | Workflow:
        if member_id not in self.entries:
            suggestion = closest_match(member_id, self.entries)
            if not suggestion and not self.is_complete:
                raise _Missing
            fix = f"did you mean '{suggestion}'?" if suggestion else f"the file declares {quoted_list(self.entries)}"
            kinds = "agent, team or workflow" if location[0] == "workflows" else "agent or team"
            raise declaration_error(self.document.place(location), f"there is no {kinds} '{member_id}'", fix)
        return self.component(member_id, leaders)

    def _knowledge_of(self, knowledge_id: str, location: Location) -> Knowledge:
        if knowledge_id not in self.knowledge:
            suggestion = closest_match(knowledge_id, self.knowledge)
            if not suggestion and not self.is_complete:
                raise _Missing
            fix = f"did you mean '{suggestion}'?" if suggestion else "list it under `knowledge:`"
            raise declaration_error(self.document.place(location), f"there is no knowledge '{knowledge_id}'", fix)
        return self.knowledge[knowledge_id]

    def _fields(self, entry: BaseModel, location: Location) -> dict[str, Any]:
        """The fields of the entry, with import paths replaced by the imported objects."""
        fields = {name: getattr(entry, name) for name in entry.model_fields_set}
        for option, read_entry in _IMPORTED.items():
            if fields.get(option) is not None:
                paths, fields[option] = fields[option], []
                for index, path in enumerate(paths):
                    with noting_problems(self.document.place(location)):
                        fields[option].append(read_entry(self, path, (*location, option, index)))
        for option, read_value in _IMPORTED_VALUES.items():
            if isinstance(fields.get(option), str):
                path, fields[option] = fields[option], None
                with noting_problems(self.document.place(location)):
                    fields[option] = read_value(self, path, (*location, option))
        for option, cls in _NESTED.items():
            if fields.get(option) is not None:
                with placed_at(self.document.place((*location, option))):
                    fields[option] = cls(**fields[option].model_dump(exclude_unset=True))
        return fields

    def _tool(self, tool: Any, location: Location) -> Any:
        if isinstance(tool, str):
            return tool if tool in TOOLKITS else self._import(tool, location)
        with placed_at(self.document.place((*location, "mcp"))):
            return MCPServer(**tool.mcp.model_dump(exclude_unset=True))

    def _schema(self, path: str, location: Location) -> Any:
        schema = self._import(path, location)
        if not is_output_schema(schema):
            problem = f"'{path}' is not an {str(location[-1]).replace('_', ' ')}"
            raise declaration_error(self.document.place(location), problem, "use a pydantic model class")
        return schema

    def _import(self, path: str, location: Location) -> Any:
        try:
            return import_object(path, self.document.path.parent)
        except DeclarationError as error:
            place = self.document.place(location)
            if (template := self.document.variable(location)) is not None:
                # The original message contains parts of the variable's value, which must not be printed.
                raise declaration_error(
                    place, f"'{template}' cannot be imported", "correct the variable's value"
                ) from error
            raise DeclarationError(
                "\n".join(f"{place}: {problem}" for problem in error.message.splitlines())
            ) from error


_IMPORTED = {"tools": _Builder._tool, "pre_hooks": _Builder._import, "post_hooks": _Builder._import}
"""Options whose entries are import paths, with the method that reads an entry."""
_IMPORTED_VALUES = {
    "input_schema": _Builder._schema,
    "output_schema": _Builder._schema,
    "knowledge_retriever": _Builder._import,
    "reranker": _Builder._import,
}
"""Options that are import paths, with the method that reads one."""
