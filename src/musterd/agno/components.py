"""Converts Agno's agents and teams to declarations of musterd."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from musterd.agno.component_options import OptionConversion
from musterd.agno.functions import is_team
from musterd.agno.models import Models
from musterd.agno.option_table import OPTIONS, report_others
from musterd.agno.report import Report
from musterd.agno.watching import declared_at
from musterd.declare import Agent, Team
from musterd.declare.options import options_of
from musterd.declare.problems import note, noting_problems
from musterd.declare.source_location import Place, declaration_error, describe_type, placed_at


class Components:
    """Converts agents and teams, each object once, even if several teams contain it.

    :param file: the place of objects whose creation was not seen.
    :param retry_safe_tools: the names of tools that may be called again after a crash.
    """

    def __init__(self, models: Models, report: Report, file: Place, retry_safe_tools: Collection[str]) -> None:
        self.models = models
        self.report = report
        self._file = file
        self.retry_safe_tools = retry_safe_tools
        self._converted: dict[int, tuple[Any, Agent | Team]] = {}
        """By the ids of Agno's objects, which are kept: the id of one that is gone may be that of another one."""

    def convert(self, declared: Any, listed_at: Place | None = None) -> Agent | Team:
        """The declaration of musterd for an agent or a team of Agno. Problems are noted.

        :param listed_at: the place of what contains it.
        :raises DeclarationError: it is neither.
        """
        if id(declared) not in self._converted:
            place = declared_at(declared) or listed_at or self._file
            self._converted[id(declared)] = declared, self._convert(declared, place)
        return self._converted[id(declared)][1]

    def for_one_run(self) -> Components:
        """A copy for what a function declares during a run, which is forgotten after it."""
        copy = Components(self.models.for_one_run(), Report(), self._file, self.retry_safe_tools)
        copy._converted.update(self._converted)
        return copy

    @property
    def all(self) -> list[Agent | Team]:
        """All declarations that were made."""
        return [spec for _, spec in self._converted.values()]

    def converted(self, declared: Any) -> Agent | Team | None:
        """The declaration that was made of an object; None if none was."""
        return self._converted.get(id(declared), (None, None))[1]

    def _convert(self, declared: Any, place: Place) -> Agent | Team:
        names = {cls.__name__ for cls in type(declared).__mro__ if cls.__module__.startswith("agno.")}
        if "BaseRemote" in names:
            problem = f"{describe_type(declared)} is not supported, because it runs on another server"
            raise declaration_error(place, problem, "write a tool that awaits its arun")
        if not names & {"Agent", "Team"}:
            raise declaration_error(place, f"there is {describe_type(declared)}", "only agents and teams are served")
        cls = Team if is_team(declared) else Agent
        label = f"{cls.kind} '{declared.id or declared.name}'" if declared.id or declared.name else f"this {cls.kind}"
        if any("run" in vars(base) or "arun" in vars(base) for base in _own_classes(declared)):
            problem = f"{label} is a subclass with its own run or arun"
            note(declaration_error(place, problem, "use tools and hooks"), place)
        with placed_at(place):
            options = self._options(declared, cls, label, place)
            return cls(**options)

    def _options(self, declared: Any, cls: type[Agent] | type[Team], label: str, place: Place) -> dict[str, Any]:
        """The options of musterd's declaration. What is different is reported, and what cannot be is noted."""
        report_others(declared, OPTIONS, label, place, self.report)
        known = options_of(cls)
        options = {
            name: value
            for name, row in OPTIONS.items()
            if row.treatment == "carried" and name in known and (value := getattr(declared, name, None)) is not None
        }
        conversion = OptionConversion(self, declared, label, place, options)
        conversions = (conversion.models, conversion.prompt, conversion.tools, conversion.managers, conversion.culture)
        for convert in (*conversions, conversion.team):
            with noting_problems(place):
                convert()
        return options


def _own_classes(declared: Any) -> list[type]:
    """The classes of an object that are the user's own."""
    return [cls for cls in type(declared).__mro__ if cls.__module__.partition(".")[0] not in ("agno", "builtins")]
