"""Runs, as a test reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from musterd.client import Run
from musterd.core import jsontext


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call of a run or of one of its members.

    :param component_id: the agent or team that made it.
    :param result: the text that the model read; None if the call was not made yet.
    :param is_error: whether it failed or was refused.
    """

    component_id: str
    name: str
    arguments: Mapping[str, Any]
    result: str | None
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun(Run):
    """A run with everything that it and its members did.

    :param export: the run as ``musterd runs export`` writes it.
    """

    __test__ = False

    export: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_export(cls, content: bytes) -> Self:
        """The run in an export."""
        export = jsontext.loads(content.decode())
        plain = Run.of(export["run"])
        values = {name: getattr(plain, name) for name in Run.__dataclass_fields__}
        return cls(**values, export=export)

    @property
    def members(self) -> list[str]:
        """The ids of the members that were called, in the order of their start; a member may occur several times."""
        return [member["component_id"] for member in self.raw["members"]]

    def tasks(self, member_id: str) -> list[str]:
        """The tasks that a member was given, in order."""
        inputs = {member["run_id"]: member["input"]["input_content"] for member in self.export["members"]}
        members = [member for member in self.raw["members"] if member["component_id"] == member_id]
        return [inputs.get(member["run_id"], member["task"]) for member in members]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the run and its members: those of the run first."""
        ids = {member["run_id"]: member["component_id"] for member in self.raw["members"]}
        runs = [(self.component_id or "", self.raw)]
        runs += [(ids[member["run_id"]], member) for member in self.export["members"]]
        return [_tool_call(component_id, item) for component_id, run in runs for item in run.get("tools") or ()]

    def calls(self, tool: str) -> list[Mapping[str, Any]]:
        """The arguments of each call of a tool."""
        return [call.arguments for call in self.tool_calls if call.name == tool]

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The steps of the run and its members, in the order of their start."""
        steps: Sequence[Mapping[str, Any]] = self.export["steps"]
        return steps

    @property
    def tokens(self) -> int:
        """The tokens that the run and its members used."""
        return int(self._totals.get("input_tokens", 0) + self._totals.get("output_tokens", 0))

    @property
    def model_calls(self) -> int:
        """How often models were called."""
        return int(self._totals.get("model_calls", 0))

    @property
    def _totals(self) -> Mapping[str, Any]:
        """What was used; a run that has called nothing yet has none."""
        totals: Mapping[str, Any] = self.raw.get("totals") or {}
        return totals

    def save(self, path: str | Path) -> None:
        """Write the run into a file, for :func:`musterd.testing.replay`."""
        Path(path).write_text(jsontext.dumps(self.export), encoding="utf-8")


def _tool_call(component_id: str, item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(
        component_id=component_id,
        name=item["tool_name"],
        arguments=item["tool_args"] or {},
        result=item.get("result"),
        is_error=bool(item.get("tool_call_error")),
    )
