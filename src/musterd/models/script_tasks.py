"""How ``scripted`` leads a team in mode ``tasks``: a task a clause, stage by stage where the request says "then"."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from musterd.models.clauses import Member, joined, members_of, pick_by_words, split_request

Message = Mapping[str, Any]
Step = tuple[str, Mapping[str, Any]]
"""A tool's name and arguments."""

CREATE, EXECUTE, FINISH = "create_task", "execute_tasks_parallel", "mark_all_complete"

_THEN = re.compile(r"(?:,|(?<!\s))\s+(?:and\s+)?then\s+", re.IGNORECASE)
_CREATED = re.compile(r"Task created: \[(\w+)\]")
_RESULT = re.compile(r"^Task \[\w+\] .*? Result: ", re.MULTILINE)
_STATE = "<current_task_state>"


def has_task_list(names: Sequence[str]) -> bool:
    """Whether a model that is offered these tools keeps a task list."""
    return CREATE in names and EXECUTE in names


def next_steps(text: str, system: str, messages: Sequence[Message]) -> list[Step] | str:
    """What the leader does next, or what it answers.

    :param messages: those behind the user's, which is ``text``.
    """
    if text.startswith(_STATE):
        return "There is nothing left that I can do."
    stages = [split_request(stage) for stage in _THEN.split(text)]
    done = _done(messages)
    created = [[id_ for name, result in turn if name == CREATE for id_ in _CREATED.findall(result)] for turn in done]
    ids = [turn for turn in created if turn]
    if len(ids) < len(stages):
        members = members_of(system)
        return [_task(clause, members, ids[-1] if ids else []) for clause in stages[len(ids)]]
    executed = [result for turn in done for name, result in turn if name == EXECUTE]
    if len(executed) < len(ids):
        return [(EXECUTE, {"task_ids": ids[len(executed)]})]
    answer = joined(part for result in executed for part in _RESULT.split(result))
    if not any(name == FINISH for turn in done for name, _ in turn):
        return [(FINISH, {"summary": answer})]
    return answer


def _task(clause: str, members: Sequence[Member], depends_on: Sequence[str]) -> Step:
    member = pick_by_words(clause, members) or (members[0] if members else None)
    task = {"title": clause, "description": clause, "assignee": member.id if member else ""}
    return CREATE, {**task, "depends_on": list(depends_on)}


def _done(messages: Sequence[Message]) -> list[list[tuple[str, str]]]:
    """The calls that were made, turn by turn: the tool's name and its result."""
    turns: list[list[tuple[str, str]]] = []
    names: dict[str, str] = {}
    for message in messages:
        if message["role"] == "assistant":
            names = {call["id"]: call["function"]["name"] for call in message.get("tool_calls") or ()}
            turns.append([])
        elif message["role"] == "tool" and turns:
            content = message["content"]
            text = content if isinstance(content, str) else json.dumps(content)
            turns[-1].append((names.get(message["tool_call_id"], ""), text))
    return turns
