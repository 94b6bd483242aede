"""The tools with which a leader has members execute tasks of its task list."""

from collections.abc import Sequence
from functools import partial

from pydantic_ai.tools import ToolDefinition

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Component
from musterd.loop import tasks
from musterd.loop.assignment import Assignment
from musterd.loop.builtin_tools import EmitAtStep
from musterd.loop.delegation import DelegatedRun, Delegations, JoinedResult, Refused, find_member
from musterd.loop.steps import ToolStep
from musterd.loop.task_tools import task_updated_data
from musterd.models.answer_limits import byte_count

EXECUTE = "execute_task"
EXECUTE_PARALLEL = "execute_tasks_parallel"

_ID = {"type": "string", "description": "The id of the task."}
_MEMBER = {"type": "string", "description": "The id of the member that does it, as listed."}


def task_run_tools() -> list[ToolDefinition]:
    """The tools with which a leader has its tasks executed."""
    return [
        _definition(EXECUTE, "Have one member do one task.", {"task_id": _ID, "member_id": _MEMBER}),
        _definition(
            EXECUTE_PARALLEL,
            "Have several tasks done at the same time, each by its assignee. They must not depend on each other.",
            {"task_ids": {"type": "array", "items": {"type": "string"}, "description": "The ids of the tasks."}},
        ),
    ]


def _definition(name: str, description: str, properties: JsonObject) -> ToolDefinition:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return ToolDefinition(name=name, description=description, parameters_json_schema=schema)


def is_task_run(team: Component, name: str) -> bool:
    """Whether a call of ``name`` has members execute tasks."""
    return name in (EXECUTE, EXECUTE_PARALLEL) and team.mode == "tasks"


def task_runs_of(run: Assignment, name: str, arguments: JsonObject, path: str, result_bytes: int) -> Delegations:
    """The members' runs that a call of ``name`` starts.

    :param result_bytes: how much the members may get of results of other tasks, together.
    :raises Refused: if one of the tasks cannot be executed now.
    """
    assignments = _assignments(name, arguments)
    runs = []
    results = _PassedResults(run.state, result_bytes)
    for place, (task_id, member_id) in enumerate(assignments):
        task = _executable_task(run.state, task_id)
        member = find_member(run.component, member_id or _assignee(task))
        prompt = "\n\n".join([task["description"] or task["title"], *results.of(task)])
        runs.append(DelegatedRun(path=f"{path}/{place}", member=member, task=prompt))
    ids = [task_id for task_id, _ in assignments]
    assignees = {task_id: member_run.member.id for task_id, member_run in zip(ids, runs, strict=True)}
    return Delegations(runs=tuple(runs), begin=partial(_begin, assignees), join=partial(_join, ids))


def _assignments(name: str, arguments: JsonObject) -> list[tuple[str, str | None]]:
    """The task ids of a call, each with a member id if the call names one."""
    if name == EXECUTE:
        task_id, member_id = arguments.get("task_id"), arguments.get("member_id")
        if not isinstance(task_id, str) or not isinstance(member_id, str | None):
            raise Refused(f"{EXECUTE} takes task_id and member_id, both texts.")
        return [(task_id, member_id or None)]
    ids = arguments.get("task_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(item, str) for item in ids):
        raise Refused(f"{EXECUTE_PARALLEL} takes task_ids, a list of ids.")
    if len(set(ids)) < len(ids):
        raise Refused("Name each task once.")
    return [(item, None) for item in ids]


def _executable_task(state: JsonObject, task_id: str) -> JsonObject:
    task = tasks.task_in(state, task_id)
    if task is None:
        raise Refused(f"There is no task '{task_id}'.")
    if task["status"] == "blocked":
        raise Refused(f"Task [{task_id}] waits for {', '.join(task['dependencies'])}. Have those done first.")
    if task["status"] not in ("pending", "in_progress"):
        raise Refused(f"Task [{task_id}] is {task['status']} and cannot be executed.")
    return task


def _assignee(task: JsonObject) -> str:
    if not task["assignee"]:
        raise Refused(f"Task [{task['id']}] has no assignee. Name one with {EXECUTE}.")
    assignee: str = task["assignee"]
    return assignee


class _PassedResults:
    """The results of tasks that one call passes on to members whose tasks depend on them.

    Their size is limited together: a result of 1 MB on which 100 tasks depend is passed on 100 times.
    """

    def __init__(self, state: JsonObject, limit: int) -> None:
        self._state = state
        self._limit = limit
        self._size = 0

    def of(self, task: JsonObject) -> list[str]:
        """The results of the tasks that ``task`` depends on.

        :raises Refused: they are too large.
        """
        results = []
        for dependency_id in dict.fromkeys(task["dependencies"]):
            dependency = tasks.task_in(self._state, dependency_id)
            if dependency is not None and dependency["result"]:
                results.append(f"Result of '{dependency['title']}':\n{dependency['result']}")
                self._size += byte_count(results[-1])
            if self._size > self._limit:
                raise Refused(
                    f"The tasks depend on results of more than {self._limit} bytes, with task [{task['id']}]. "
                    "Execute fewer tasks in one call, or create tasks that depend on fewer others."
                )
        return results


def _begin(assignees: dict[str, str], state: JsonObject, emit: EmitAtStep) -> None:
    for task_id, member_id in assignees.items():
        task = tasks.task_in(state, task_id)
        if task is not None:
            task["assignee"] = member_id
            _set_status(task, "in_progress", emit)


def _set_status(task: JsonObject, status: str, emit: EmitAtStep) -> None:
    previous, task["status"] = task["status"], status
    emit(EventKind.TASK_UPDATED, task_updated_data(task, previous), f"{task['id']} {status}")


def _join(ids: Sequence[str], steps: Sequence[ToolStep], state: JsonObject, emit: EmitAtStep) -> JoinedResult:
    results = []
    for task_id, step in zip(ids, steps, strict=True):
        task = tasks.task_in(state, task_id)
        if task is not None:
            task["result"] = step.result
            _set_status(task, "failed" if step.is_error else "completed", emit)
            results.append(f"Task [{task_id}] '{task['title']}' {task['status']}. Result: {step.result}")
    tasks.update_blocked(tasks.list_in(state))
    return JoinedResult(result="\n\n".join(results), is_error=all(step.is_error for step in steps))
