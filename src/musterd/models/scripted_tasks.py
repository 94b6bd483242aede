"""How ``scripted`` leads a team in mode ``tasks``: one task for each clause, in stages separated by "then"."""

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
    """Whether a model with these tools keeps a task list."""
    return CREATE in names and EXECUTE in names


def next_steps(text: str, system: str, messages: Sequence[Message]) -> list[Step] | str:
    """The leader's next tool calls, or its answer.

    :param text: the last user message.
    :param messages: the messages after it.
    """
    if text.startswith(_STATE):
        return "There is nothing left that I can do."
    stages = [split_request(stage) for stage in _THEN.split(text)]
    turns = _completed_turns(messages)
    created = [[id_ for name, result in turn if name == CREATE for id_ in _CREATED.findall(result)] for turn in turns]
    task_ids = [turn_ids for turn_ids in created if turn_ids]
    if len(task_ids) < len(stages):
        members = members_of(system)
        return [_task(clause, members, task_ids[-1] if task_ids else []) for clause in stages[len(task_ids)]]
    execute_results = [result for turn in turns for name, result in turn if name == EXECUTE]
    if len(execute_results) < len(task_ids):
        return [(EXECUTE, {"task_ids": task_ids[len(execute_results)]})]
    answer = joined(part for result in execute_results for part in _RESULT.split(result))
    if not any(name == FINISH for turn in turns for name, _ in turn):
        return [(FINISH, {"summary": answer})]
    return answer


def _task(clause: str, members: Sequence[Member], depends_on: Sequence[str]) -> Step:
    member = pick_by_words(clause, members) or (members[0] if members else None)
    task = {"title": clause, "description": clause, "assignee": member.id if member else ""}
    return CREATE, {**task, "depends_on": list(depends_on)}


def _completed_turns(messages: Sequence[Message]) -> list[list[tuple[str, str]]]:
    """The completed tool calls of each turn, as pairs of the tool's name and its result."""
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
