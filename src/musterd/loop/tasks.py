"""The task list of a team in mode ``tasks``, which is plain JSON in the session's state.

It has Agno's key and shape, so that Agno's clients can display it:
``{"tasks": [{id, title, description, status, assignee, dependencies, …}], "goal_complete", "completion_summary"}``.
Whether a task is blocked follows from its dependencies; neither a person nor a model can set it.
"""

from musterd.core.jsontypes import JsonObject

KEY = "_team_tasks"
STATUSES = ("pending", "in_progress", "completed", "failed")
ENDED = ("completed", "failed")


def new_list() -> JsonObject:
    """An empty task list."""
    return {"tasks": [], "goal_complete": False, "completion_summary": None}


def list_in(state: JsonObject) -> JsonObject:
    """The task list of a state, created if it is missing. Changes to it change the state."""
    task_list = state.get(KEY)
    if not isinstance(task_list, dict) or not isinstance(task_list.get("tasks"), list):
        task_list = state[KEY] = new_list()
    return task_list


def task_in(state: JsonObject, task_id: str) -> JsonObject | None:
    """The task with this id, or None."""
    task: JsonObject | None = next((task for task in list_in(state)["tasks"] if task["id"] == task_id), None)
    return task


def update_blocked(task_list: JsonObject) -> None:
    """Update the status of tasks that have not begun: blocked while a dependency is not completed, else pending."""
    completed = {task["id"] for task in task_list["tasks"] if task["status"] == "completed"}
    for task in task_list["tasks"]:
        if task["status"] in ("pending", "blocked"):
            task["status"] = "pending" if set(task["dependencies"]) <= completed else "blocked"


def open_tasks(state: JsonObject) -> list[JsonObject]:
    """The tasks that have neither completed nor failed."""
    return [task for task in list_in(state)["tasks"] if task["status"] not in ENDED]


def is_over(state: JsonObject) -> bool:
    """Whether nothing is left to do: the leader marked the goal as complete, or every task has ended."""
    task_list = list_in(state)
    return bool(task_list["goal_complete"]) or (bool(task_list["tasks"]) and not open_tasks(state))


def summary(state: JsonObject) -> str:
    """The task list as text, for the model and for events."""
    tasks = list_in(state)["tasks"]
    if not tasks:
        return "No tasks created yet."
    ended = sum(task["status"] in ENDED for task in tasks)
    return "\n".join([f"Tasks ({ended}/{len(tasks)} ended):", *(_line(task) for task in tasks)])


def _line(task: JsonObject) -> str:
    parts = [f"[{task['id']}] {task['title']} ({task['status']})"]
    if task["assignee"]:
        parts.append(f"assignee: {task['assignee']}")
    if task["dependencies"]:
        parts.append(f"depends on: {', '.join(task['dependencies'])}")
    lines = ["- " + " - ".join(parts)]
    if task["result"]:
        lines.append(f"  Result: {_short(task['result'])}")
    lines += [f"  Note: {note}" for note in task["notes"]]
    return "\n".join(lines)


def _short(text: str, limit: int = 500) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


# --- concurrent calls of one turn -----------------------------------------------------------------


def delta(before: JsonObject | None, after: JsonObject | None) -> JsonObject | None:
    """The change from one list to another, task by task, so that two calls of a turn can change different tasks."""
    if after is None or before == after:
        return None
    tasks_before = {task["id"]: task for task in (before or new_list())["tasks"]}
    changed = [task for task in after["tasks"] if tasks_before.get(task["id"]) != task]
    rest = {name: value for name, value in after.items() if name != "tasks" and (before or {}).get(name) != value}
    return {"tasks": changed, "rest": rest}


def merge(state: JsonObject, change: JsonObject) -> None:
    """Apply a change to the task list of ``state`` in place."""
    task_list = list_in(state)
    positions = {task["id"]: position for position, task in enumerate(task_list["tasks"])}
    for task in change["tasks"]:
        if task["id"] in positions:
            task_list["tasks"][positions[task["id"]]] = task
        else:
            task_list["tasks"].append(task)
    task_list.update(change["rest"])
    update_blocked(task_list)  # a merged task may have completed a dependency of another call's task
