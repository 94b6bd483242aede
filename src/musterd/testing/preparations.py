"""The comparison of two preparations: the system message, the tools that the model is offered, members and state."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.requirements import Requirement, RequirementKind
from musterd.declare.approval_flags import PERSON_FLAGS, QUESTION_OPTIONS
from musterd.loop.context import without_surroundings
from musterd.testing.differences import as_text, diff_of

_SECTION = re.compile(r"^<(\w+)>\n(.*?)\n</\1>$", re.DOTALL | re.MULTILINE)
_MEMBER = re.compile(r'^<member id="([^"]*)"(.*?)^</member>$', re.DOTALL | re.MULTILINE)
_MEMBER_LINE = re.compile(r"^  (\w[\w ]*):(.*)$", re.MULTILINE)
_MEMBERS = "team_members"
_FLAGS: Mapping[str | None, JsonObject] = {
    RequirementKind.CONFIRMATION.value: {"requires_confirmation": True},
    RequirementKind.USER_INPUT.value: {"requires_user_input": True},
    RequirementKind.EXTERNAL_EXECUTION.value: {"external_execution": True},
}
_TOOL_PARTS = ("description", "parameters")


class Part(NamedTuple):
    """Something that differs: the aspect of a :class:`Difference`, a clause, and a diff."""

    aspect: str
    clause: str
    diff: str = ""


def preparation_difference(recorded: JsonObject, today: JsonObject) -> tuple[str, str, str] | None:
    """How two runs begin differently: the aspect, a sentence and a diff; None if they begin alike.

    :param recorded: the recorded preparation.
    :param today: that of today's code.
    """
    parts = [part for compare in _COMPARED for part in compare(recorded, today)]
    if not parts:
        return None
    summary = f"{'; '.join(part.clause for part in parts)}."
    return parts[0].aspect, summary, "\n".join(part.diff for part in parts if part.diff)


def question_difference(recorded: JsonObject, today: JsonObject, name: str, question: Requirement | None) -> str | None:
    """How the options differ by which a tool asks a person about its calls; None: they do not.

    :param recorded: the recorded preparation of the run that calls the tool.
    :param today: that of today's code.
    :param name: the tool.
    :param question: the recorded question about the call. Of a run that began in an older version of musterd, only
        this says what the tool declared.
    """
    now = today.get("declared", {}).get("tools", {}).get(name)
    before = recorded["declared"].get("tools", {}).get(name) if "declared" in recorded else _flag_of(question)
    if before is None or now is None:
        return None
    changes = [
        f"{option} was {_value(before.get(option))} and is {_value(now.get(option))} today"
        for option in (QUESTION_OPTIONS if "declared" in recorded else PERSON_FLAGS)
        if before.get(option) != now.get(option)
    ]
    return "; ".join(changes) or None


def _flag_of(question: Requirement | None) -> JsonObject | None:
    """The option that made a tool ask this question before the call; None: it did not ask."""
    if question is None:
        return None
    kind: str | None = question.kind.value
    if question.kind is RequirementKind.UNKNOWN_OUTCOME:  # in place of the question before the call, if there was one
        kind = (question.tool.approval or {}).get("kind")
    return _FLAGS.get(kind)


def _value(value: Json) -> str:
    return "not set" if value is None else repr(value)


def _system(recorded: JsonObject, today: JsonObject) -> Iterator[Part]:
    """The difference of the system messages, in the words for the sections that differ."""
    before, now = (without_surroundings(values.get("system", "")) for values in (recorded, today))
    if before == now:
        return
    sections = _sections(before), _sections(now)
    names = [name for name in dict.fromkeys([*sections[0], *sections[1]]) if _differs(name, *sections)]
    diff = diff_of(before, now)
    for name in names:
        if name == _MEMBERS:
            changes = _member_changes(*(side.get(name, "") for side in sections))
            yield Part("members", f"the members in the system message differ: {', '.join(changes)}", diff)
        elif name in ("", "instructions"):
            yield Part("instructions", "the instructions differ" if name else "the system message differs", diff)
        else:
            yield Part("instructions", f"<{name}> in the system message differs", diff)
        diff = ""  # one diff of the whole message
    if not names:  # the same sections in another order
        yield Part("instructions", "the system message differs", diff)


def _differs(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return before.get(name) != now.get(name)


def _sections(system: str) -> dict[str, str]:
    """The sections of a system message by their tags; the rest has the name ""."""
    sections: dict[str, str] = {}
    for name, text in _SECTION.findall(system):
        sections[name] = f"{sections[name]}\n{text}" if name in sections else text
    rest = re.sub(r"\n{3,}", "\n\n", _SECTION.sub("", system)).strip()
    return {"": rest, **sections}


def _member_changes(before: str, now: str) -> list[str]:
    """Words for the members that a leader reads of, and reads otherwise."""
    members = dict(_MEMBER.findall(before)), dict(_MEMBER.findall(now))
    changes = []
    for name in dict.fromkeys([*members[0], *members[1]]):
        if name not in members[1]:
            changes.append(f"{name} is removed")
        elif name not in members[0]:
            changes.append(f"{name} is added")
        elif members[0][name] != members[1][name]:
            lines = [dict(_MEMBER_LINE.findall(side[name])) for side in members]
            labels = [label.lower() for label in {**lines[0], **lines[1]} if _differs(label, *lines)]
            changes.append(f"{' and '.join(labels) or 'description'} of {name}")
    return changes or ["their order"]


def _members(recorded: JsonObject, today: JsonObject) -> Iterator[Part]:
    before, now = recorded.get("members"), today.get("members")
    if before != now and _members_section(recorded) == _members_section(today):
        yield Part("members", "the members differ", diff_of(as_text(before), as_text(now)))


def _members_section(values: JsonObject) -> str | None:
    return _sections(values.get("system", "")).get(_MEMBERS)


def _tools(recorded: JsonObject, today: JsonObject) -> Iterator[Part]:
    """The tools that differ. Runs that began in older versions recorded only digests of the parameters."""
    digests: tuple[Mapping[str, str], ...] = recorded.get("tools", {}), today.get("tools", {})
    kept = digests[0].keys() & digests[1].keys()
    tools = _both_tools(recorded, today)
    parts = {
        "added": digests[1].keys() - kept,
        "removed": digests[0].keys() - kept,
        "changed parameters of": {name for name in kept if digests[0][name] != digests[1][name]},
    }
    diff = ""
    if tools is not None:
        common = tools[0].keys() & tools[1].keys()
        differing = {part: {n for n in common if tools[0][n][part] != tools[1][n][part]} for part in _TOOL_PARTS}
        parts |= {f"changed {part} of": names for part, names in differing.items()}
        diff = diff_of(*(as_text(_excerpt(side, differing)) for side in tools))
    changes = [f"{verb} {', '.join(sorted(names))}" for verb, names in parts.items() if names]
    if changes:
        yield Part("tools", f"the tools that the model is offered differ: {'; '.join(changes)}", diff)


def _both_tools(recorded: JsonObject, today: JsonObject) -> tuple[JsonObject, JsonObject] | None:
    """The declared tools of both by name; None: the recorded run has only digests."""
    if "declared" not in recorded:
        return None
    return recorded["declared"].get("tools", {}), today["declared"].get("tools", {})


def _excerpt(tools: JsonObject, parts: Mapping[str, set[str]]) -> JsonObject:
    names = set().union(*parts.values())
    return {name: {part: tools[name][part] for part in parts if name in parts[part]} for name in sorted(names)}


def _options(recorded: JsonObject, today: JsonObject) -> Iterator[Part]:
    """Further options that change model calls."""
    if "declared" not in recorded:
        return
    before, now = (values["declared"].get("options", {}) for values in (recorded, today))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            texts = (as_text(side[name]) if name in side else "" for side in (before, now))
            yield Part("options", f"{name} differs", diff_of(*texts))


def _state(recorded: JsonObject, today: JsonObject) -> Iterator[Part]:
    for name, clause in (("state", "the session state differs"), ("plan", "the declared steps differ")):
        if recorded.get(name) != today.get(name):
            yield Part(name, clause, diff_of(as_text(recorded.get(name)), as_text(today.get(name))))


_COMPARED: tuple[Callable[[JsonObject, JsonObject], Iterator[Part]], ...] = (
    _system,
    _members,
    _tools,
    _options,
    _state,
)
