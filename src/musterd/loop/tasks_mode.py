"""Mode ``tasks``: the leader iterates until its task list is done or ``max_iterations`` are used up."""

from typing import Protocol

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Team
from musterd.loop import tasks
from musterd.loop.assignment import Assignment
from musterd.loop.run_tree import RunTree
from musterd.loop.structured_answers import RunAnswer

GO_ON = "Go on until the goal is reached. Then call mark_all_complete and answer."


class Leader(Protocol):
    """The part of :class:`musterd.loop.loop.Loop` that this mode needs."""

    tree: RunTree
    run: Assignment

    async def turns(self) -> RunAnswer:
        """Take turns until the model answers."""
        ...

    def say(self, text: str) -> None:
        """Add a user message between two turns."""
        ...


async def iterate(leader: Leader) -> RunAnswer:
    """Have the leader work on its task list, iteration by iteration.

    If the leader answers without creating a task, that is the answer. If the iterations are used up, the last answer
    counts, and :func:`with_open_tasks` adds what is not done.
    """
    run, spec = leader.run, leader.run.component.spec
    assert isinstance(spec, Team)
    # Each attempt begins with an empty list, and a replay fills it with the state changes of the stored calls.
    run.state[tasks.KEY] = tasks.new_list()
    limit, answer = spec.max_iterations, RunAnswer("")
    for iteration in range(1, limit + 1):
        count: JsonObject = {"iteration": iteration, "max_iterations": limit}
        emit = leader.tree.emitter(run.run_id, run.at(f"i{iteration}"))
        emit(EventKind.TASK_ITERATION_STARTED, count, "")
        if iteration > 1:
            state = f"<current_task_state>\n{tasks.summary(run.state)}\n</current_task_state>"
            leader.say(f"{state}\n\n{GO_ON}")
        answer = await leader.turns()
        summary, task_list = tasks.summary(run.state), tasks.list_in(run.state)
        data = {
            "task_summary": summary,
            "goal_complete": bool(task_list["goal_complete"]),
            # Copies: events are serialized at the flush, and later turns change the tasks.
            "tasks": [dict(task) for task in task_list["tasks"]],
        }
        emit(EventKind.TASK_STATE_UPDATED, data, "")
        emit(EventKind.TASK_ITERATION_COMPLETED, {**count, "task_summary": summary}, "")
        if tasks.is_over(run.state) or not task_list["tasks"]:
            break
    return answer


def with_open_tasks(run: Assignment, answer: RunAnswer) -> RunAnswer:
    """The answer with a list of the tasks that are not done, so that no caller takes the goal for reached.

    It applies to every answer, including one that an output model worded.
    """
    state, spec = run.state, run.component.spec
    if not isinstance(spec, Team) or tasks.is_over(state) or not tasks.list_in(state)["tasks"]:
        return answer
    limit = spec.max_iterations
    open_tasks = ", ".join(f"[{task['id']}] {task['title']} ({task['status']})" for task in tasks.open_tasks(state))
    note = f"Not finished: the limit of {limit} iterations was reached. Open tasks: {open_tasks}."
    if not isinstance(answer.content, str):
        return answer
    return RunAnswer(f"{answer.content}\n\n{note}" if answer.content else note)
