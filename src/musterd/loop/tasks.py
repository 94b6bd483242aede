"""The task list of a team in mode ``tasks``: plain JSON in the session's state, and the rules for it.

It has the peer's shape and key, so that clients that show it find it:
``{"tasks": [{id, title, description, status, assignee, dependencies, …}], "goal_complete", "completion_summary"}``.
Whether a task is blocked follows from its dependencies and is never written down by a person or a model.
"""

from musterd.core.jsontypes import JsonObject

KEY = "_team_tasks"
STATUSES = ("pending", "in_progress", "completed", "failed")
ENDED = ("completed", "failed")


def new_list() -> JsonObject:
    """A list without tasks."""
    return {"tasks": [], "goal_complete": False, "completion_summary": None}


def list_in(state: JsonObject) -> JsonObject:
    """The task list of a state, to be changed in place."""
    found = state.get(KEY)
    if not isinstance(found, dict) or not isinstance(found.get("tasks"), list):
        found = state[KEY] = new_list()
    return found


def task_in(state: JsonObject, task_id: str) -> JsonObject | None:
    """The task with this id."""
    found: JsonObject | None = next((task for task in list_in(state)["tasks"] if task["id"] == task_id), None)
    return found


def settle_blocked(tasks: JsonObject) -> None:
    """Bring the states of tasks that wait up to date: blocked while a dependency is not completed."""
    completed = {task["id"] for task in tasks["tasks"] if task["status"] == "completed"}
    for task in tasks["tasks"]:
        if task["status"] in ("pending", "blocked"):
            task["status"] = "pending" if set(task["dependencies"]) <= completed else "blocked"


def open_tasks(state: JsonObject) -> list[JsonObject]:
    """The tasks that are not completed and have not failed."""
    return [task for task in list_in(state)["tasks"] if task["status"] not in ENDED]


def is_over(state: JsonObject) -> bool:
    """Whether nothing is left to do: the leader said so, or every task has ended."""
    tasks = list_in(state)
    return bool(tasks["goal_complete"]) or (bool(tasks["tasks"]) and not open_tasks(state))


def summary(state: JsonObject) -> str:
    """The list in words, for the model and for whoever watches."""
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


def _short(text: str, longest: int = 500) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


# --- concurrent calls of one turn -----------------------------------------------------------------


def delta(before: JsonObject | None, after: JsonObject | None) -> JsonObject | None:
    """What changed from one list to another, task by task: calls of one turn that change different tasks both count."""
    if after is None or before == after:
        return None
    known = {task["id"]: task for task in (before or new_list())["tasks"]}
    changed = [task for task in after["tasks"] if known.get(task["id"]) != task]
    rest = {name: value for name, value in after.items() if name != "tasks" and (before or {}).get(name) != value}
    return {"tasks": changed, "rest": rest}


def merge(state: JsonObject, change: JsonObject) -> None:
    """Apply a change."""
    tasks = list_in(state)
    places = {task["id"]: place for place, task in enumerate(tasks["tasks"])}
    for task in change["tasks"]:
        if task["id"] in places:
            tasks["tasks"][places[task["id"]]] = task
        else:
            tasks["tasks"].append(task)
    tasks.update(change["rest"])
    settle_blocked(tasks)
