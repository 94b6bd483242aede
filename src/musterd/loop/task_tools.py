"""The tools with which a leader manages its task list; names and parameters are Agno's."""

from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool
from musterd.loop import tasks
from musterd.loop.builtin_tools import Rejected, ToolCallContext, builtin_tool
from musterd.loop.run_tree import digest


async def create_task(
    context: ToolCallContext, title: str, description: str = "", assignee: str = "", depends_on: list[str] | None = None
) -> str:
    """Create a task for the team.

    Args:
        title: A short, actionable title.
        description: What is to be done, completely: the member sees nothing else.
        assignee: The id of the member that is to do it.
        depends_on: The ids of tasks that must be completed first.
    """
    task_list = tasks.list_in(context.state)
    for task in task_list["tasks"]:
        if task["title"].strip().lower() == title.strip().lower():
            return f"Task already exists: [{task['id']}] {task['title']} (status: {task['status']}). Use it."
    ids = {task["id"] for task in task_list["tasks"]}
    dependencies = list(dict.fromkeys(depends_on or ()))
    if unknown := [task_id for task_id in dependencies if task_id not in ids]:
        raise Rejected(f"There is no task {', '.join(unknown)} to depend on. Create it first.")
    if assignee and all(member.id != assignee for member in context.run.component.members):
        members = ", ".join(member.id for member in context.run.component.members)
        raise Rejected(f"There is no member '{assignee}'. Members: {members}.")
    task = {
        # From the path of the call: if it is repeated after a crash, the task gets the same id.
        "id": digest(context.run.run_id, context.path)[:8],
        "title": title,
        "description": description,
        "status": "pending",
        "assignee": assignee or None,
        "parent_id": None,
        "dependencies": dependencies,
        "result": None,
        "notes": [],
        "created_at": clock.now(),
    }
    task_list["tasks"].append(task)
    tasks.update_blocked(task_list)
    fields = ("title", "description", "assignee", "status", "dependencies")
    context.emit(EventKind.TASK_CREATED, {"task_id": task["id"], **{name: task[name] for name in fields}}, "")
    return f"Task created: [{task['id']}] {title} (status: {task['status']})"


async def update_task_status(context: ToolCallContext, task_id: str, status: str, result: str | None = None) -> str:
    """Say where a task stands that you do yourself.

    Args:
        task_id: The id of the task.
        status: One of pending, in_progress, completed, failed.
        result: What came of it, when it has ended.
    """
    task = _task(context.state, task_id)
    if status not in tasks.STATUSES:
        raise Rejected(f"A task's status is one of {', '.join(tasks.STATUSES)}.")
    previous = task["status"]
    task["status"] = status
    if result is not None:
        task["result"] = result
    tasks.update_blocked(tasks.list_in(context.state))
    context.emit(EventKind.TASK_UPDATED, task_updated_data(task, previous), "")
    return f"Task [{task_id}] '{task['title']}' updated to {task['status']}."


async def list_tasks(context: ToolCallContext) -> str:
    """List all tasks with their status, assignees and dependencies."""
    return tasks.summary(context.state)


async def add_task_note(context: ToolCallContext, task_id: str, note: str) -> str:
    """Add a note to a task.

    Args:
        task_id: The id of the task.
        note: The note.
    """
    _task(context.state, task_id)["notes"].append(note)
    return f"Note added to task [{task_id}]."


async def mark_all_complete(context: ToolCallContext, summary: str) -> str:
    """Say that the goal is reached. Call this when everything is done.

    Args:
        summary: The work done and its outcome.
    """
    tasks.list_in(context.state).update(goal_complete=True, completion_summary=summary)
    return f"Goal marked as complete. Summary: {summary}"


def task_updated_data(task: JsonObject, previous: str) -> JsonObject:
    """The data of a ``task_updated`` event.

    :param previous: the status before the change.
    """
    fields = {name: task[name] for name in ("title", "status", "assignee")}
    result = {"result": task["result"]} if task["status"] in tasks.ENDED else {}
    return {"task_id": task["id"], **fields, "previous_status": previous, **result}


def _task(state: JsonObject, task_id: str) -> JsonObject:
    task = tasks.task_in(state, task_id)
    if task is None:
        raise Rejected(f"There is no task '{task_id}'.")
    return task


TASK_TOOLS: tuple[Tool, ...] = tuple(
    builtin_tool(function)
    for function in (create_task, update_task_status, list_tasks, add_task_note, mark_all_complete)
)
