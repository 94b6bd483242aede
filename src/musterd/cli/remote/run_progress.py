"""What a run and its members do, from their events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from musterd.cli.output import call_text, cut, duration, one_line
from musterd.cli.remote.decision_hints import UNKNOWN_OUTCOME, waiting_call

if TYPE_CHECKING:
    from musterd.client import Event

DELEGATIONS = ("delegate_task_to_member", "delegate_task_to_members")
ASKS = "asks "
"""What a delegation begins with, in place of a call."""
RESULT_LENGTH = 160
"""Most characters of a result that a line shows."""
_KINDS = ("team", "agent", "workflow")
_ENDS = {"Completed": "completed", "Error": "failed", "Cancelled": "cancelled", "Paused": "paused"}
_STATES = {
    "RunContinued": "continued",
    "ModelRequestStarted": "thinking",
    "ModelLoadingStarted": "loading the model",
    "ModelLoadingCompleted": "thinking",
    "ModelRequestRetried": "waiting to try again",
    "RunContent": "writing",
    "ToolCallStarted": "calling",
    "ToolCallCompleted": "thinking",
    "StepStarted": "step",
    **{f"Run{end}": state for end, state in _ENDS.items()},
}


@dataclass
class MemberProgress:
    """A run: the one that was started, or a member's.

    :param state: in a word, such as ``thinking``.
    :param calls: the calls that are being made, by their ids.
    :param step: the step of a workflow that it is at.
    :param undecided: the calls that wait for a person.
    :param text: what its model has written since its last call.
    """

    run_id: str
    name: str
    depth: int
    started_at: float
    state: str = "started"
    calls: dict[str | None, str] = field(default_factory=dict)
    step: str = ""
    undecided: tuple[str, ...] = ()
    text: str = ""
    ended_at: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def take(self, kind: str, event: "Event") -> None:
        """Take one of its events in."""
        self.state = _STATES.get(kind, self.state)
        if kind == "RunContent":
            self.text += event.content if isinstance(event.content, str) else ""
        elif kind in ("ModelRequestStarted", "StepError"):
            self.text = self.step = ""
            self.calls = {}
        elif kind == "ModelRequestCompleted":
            self.input_tokens += event.raw.get("input_tokens") or 0
            self.output_tokens += event.raw.get("output_tokens") or 0
        elif kind == "ModelPromptProgress":
            self._read_prompt(event.raw["read_tokens"], event.raw["prompt_tokens"])
        elif kind == "ToolCallStarted":
            # A new object each time, because the thread that draws may be reading the old one.
            self.calls = {**self.calls, _call_id(event): call_of(event.tool or {})}
        elif kind == "ToolCallCompleted":
            self.calls = {call_id: call for call_id, call in self.calls.items() if call_id != _call_id(event)}
        elif kind == "StepStarted":
            self.step = one_line(event.raw.get("step_name"))
        elif kind == "RunContinued":
            self.ended_at, self.undecided = None, ()
        elif kind.removeprefix("Run") in _ENDS:
            self._end(kind, event)

    @property
    def activity(self) -> str:
        """What it does, in a word."""
        return "calling" if self.calls else self.state

    @property
    def doings(self) -> list[str]:
        """What it does: a line for each call that is being made, or waits for a person."""
        calls = [call if call.startswith(ASKS) else f"calling {call}" for call in self.calls.values()]
        return calls or [f"{self.state}: {call}" for call in self.undecided] or [f"{self.state} {self.step}".strip()]

    @property
    def words(self) -> str:
        """The same in one line."""
        return "; ".join(self.doings)

    def _read_prompt(self, read_tokens: int, prompt_tokens: int) -> None:
        is_read = read_tokens >= prompt_tokens
        self.state = "thinking" if is_read else f"reading its prompt, {read_tokens} of {prompt_tokens} tokens"

    def _end(self, kind: str, event: "Event") -> None:
        self.calls, self.step = {}, ""
        if kind == "RunPaused":
            self.undecided = tuple(map(_waiting_call, _waiting_entries(event)))
        else:
            self.ended_at = event.at
        if kind == "RunError":
            self.text = one_line(event.raw.get("error") or event.content)


@dataclass
class RunProgress:
    """A run with its members, in the order of their start.

    :param cost: US dollars, once it is known.
    """

    members: dict[str, MemberProgress] = field(default_factory=dict)
    cost: float | None = None

    def apply(self, event: "Event") -> MemberProgress:
        """Take an event in, and return the run in which it happened."""
        member = self.members.get(event.run_id)
        if member is None:
            member = MemberProgress(event.run_id, name_of(event), event.depth, event.at)
            self.members[event.run_id] = member
        member.take(kind_of(event), event)
        for entry in event.raw.get("superseded") or ():  # texts that an attempt had not finished: they come again
            if other := self.members.get(entry["run_id"]):
                other.text = ""
        if event.depth == 0:
            self.cost = event.raw.get("cost", self.cost)
        return member

    def at_work(self) -> str:
        """Who does what: the members that are at work, otherwise the run itself."""
        members = list(self.members.values())  # copied, because another thread adds to them
        working = [member for member in members if member.ended_at is None]
        return ", ".join(f"{one.name} {one.words}" for one in [one for one in working if one.depth] or working)


def kind_of(event: "Event") -> str:
    """The name of an event, the same for teams, agents and workflows."""
    name = event.name.removeprefix("Team")
    rest = name.removeprefix("Workflow")
    return f"Run{rest}" if rest != name and rest in ("Started", "Continued", *_ENDS) else name


def name_of(event: "Event") -> str:
    """The name of the team, agent or workflow in whose run the event happened."""
    keys = [f"{kind}_{part}" for part in ("name", "id") for kind in _KINDS]
    return next((one_line(event.raw[key]) for key in keys if event.raw.get(key)), "run")


def call_of(tool: Mapping[str, Any]) -> str:
    """A call as text; a delegation as the member and its task."""
    name, arguments = str(tool.get("tool_name")), tool.get("tool_args") or {}
    if name in DELEGATIONS:
        return one_line(f"{ASKS}{arguments.get('member_id') or 'all members'}: {arguments.get('task')}")
    return call_text(name, arguments)


def line_of(event: "Event", member: MemberProgress) -> str | None:
    """What a log of the run says about an event; None if nothing.

    :param member: the run in which it happened, after the event.
    """
    write = _LINES.get(kind_of(event))
    return write(event, member) if write else None


def _waiting_entries(event: "Event") -> list[dict[str, Any]]:
    """The calls that wait for a person, as the server describes them."""
    entries = event.raw.get("requirements") or ()
    return [entry for entry in entries if (entry.get("tool_execution") or {}).get("tool_name")]


def _waiting_call(entry: Mapping[str, Any]) -> str:
    return waiting_call(entry.get("kind"), call_of(entry["tool_execution"]))


def _call_id(event: "Event") -> str | None:
    return (event.tool or {}).get("tool_call_id")


def _call(event: "Event", member: MemberProgress) -> str:
    call = call_of(event.tool or {})
    return call if call.startswith(ASKS) else f"calls {call}"


def _result(event: "Event", member: MemberProgress) -> str | None:
    tool = event.tool or {}
    if tool.get("tool_name") in DELEGATIONS or tool.get("tool_call_error"):
        return None  # the member says itself what it answers, and a failure has its own event
    return f"{one_line(tool.get('tool_name'))} → {_cut(tool.get('result'))}"


def _failed_call(event: "Event", member: MemberProgress) -> str:
    return f"{one_line((event.tool or {}).get('tool_name'))} failed: {_cut(event.raw.get('error'))}"


def _retry(event: "Event", member: MemberProgress) -> str:
    wait = event.raw.get("wait_seconds") or 0
    return f"model call failed, retried in {wait:.1f} s: {_cut(event.raw.get('reason'))}"


def _step(words: str) -> Callable[["Event", MemberProgress], str]:
    return lambda event, member: f"step {one_line(event.raw.get('step_name'))} {words}"


def _failed_step(event: "Event", member: MemberProgress) -> str:
    return f"step {one_line(event.raw.get('step_name'))} failed: {_cut(event.raw.get('error'))}"


def _pause(event: "Event", member: MemberProgress) -> str:
    own = [entry for entry in _waiting_entries(event) if not entry.get("member_run_id")]  # a member has its own line
    cut_off = [_waiting_call(entry) for entry in own if entry.get("kind") == UNKNOWN_OUTCOME]
    return f"waits for a decision ({'; '.join(cut_off)})" if cut_off else "waits for a decision"


def _end(event: "Event", member: MemberProgress) -> str:
    return f"{member.state} ({duration(event.at - member.started_at)})"


_LINES: Mapping[str, Callable[["Event", MemberProgress], str | None]] = {
    "RunStarted": lambda event, member: "started",
    "RunContinued": lambda event, member: "continued",
    "ModelLoadingStarted": lambda event, member: "loads the model",
    "ModelRequestRetried": _retry,
    "ToolCallStarted": _call,
    "ToolCallCompleted": _result,
    "ToolCallError": _failed_call,
    "CustomEvent": lambda event, member: _cut(event.content),
    "StepStarted": _step("started"),
    "StepCompleted": _step("completed"),
    "StepError": _failed_step,
    "RunPaused": _pause,
    "RunError": lambda event, member: f"failed: {member.text}",
    "RunCompleted": _end,
    "RunCancelled": _end,
}


def _cut(value: Any) -> str:
    return cut(value, RESULT_LENGTH)
