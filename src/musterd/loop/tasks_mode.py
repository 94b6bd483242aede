"""Mode ``tasks``: the leader works until its task list is done, or as often as it may."""

from typing import Protocol

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Team
from musterd.loop import tasks
from musterd.loop.assignment import Assignment
from musterd.loop.run_tree import RunTree
from musterd.loop.structured_answers import Answer

GO_ON = "Go on until the goal is reached. Then call mark_all_complete and answer."


class Leader(Protocol):
    """A leader's run."""

    world: RunTree
    run: Assignment

    async def turns(self) -> Answer:
        """Take turns until the model answers."""
        ...

    def say(self, text: str) -> None:
        """Tell the model something between two turns."""
        ...


async def iterate(leader: Leader) -> Answer:
    """Have the leader work on its task list, iteration by iteration.

    An answer without any task is the answer: nothing was worth a task. When the iterations are used up, the last
    answer stands, and :func:`with_open_tasks` says what is not done.
    """
    run, spec = leader.run, leader.run.component.spec
    assert isinstance(spec, Team)
    run.state[tasks.KEY] = tasks.new_list()
    limit, answer = spec.max_iterations, Answer("")
    for iteration in range(1, limit + 1):
        counted: JsonObject = {"iteration": iteration, "max_iterations": limit}
        place = run.at(f"i{iteration}")
        tell = leader.world.teller(run.run_id, place)
        tell(EventKind.TASK_ITERATION_STARTED, counted, "")
        if iteration > 1:
            state = f"<current_task_state>\n{tasks.summary(run.state)}\n</current_task_state>"
            leader.say(f"{state}\n\n{GO_ON}")
        answer = await leader.turns()
        summary, found = tasks.summary(run.state), tasks.list_in(run.state)
        told = {"task_summary": summary, "goal_complete": bool(found["goal_complete"]), "tasks": found["tasks"]}
        tell(EventKind.TASK_STATE_UPDATED, told, "")
        tell(EventKind.TASK_ITERATION_COMPLETED, {**counted, "task_summary": summary}, "")
        if tasks.is_over(run.state) or not found["tasks"]:
            break
    return answer


def with_open_tasks(run: Assignment, answer: Answer) -> Answer:
    """The answer, whoever has worded it, and what it is not: a caller must not take it for the goal reached."""
    state, spec = run.state, run.component.spec
    if not isinstance(spec, Team) or tasks.is_over(state) or not tasks.list_in(state)["tasks"]:
        return answer
    limit = spec.max_iterations
    left = ", ".join(f"[{task['id']}] {task['title']} ({task['status']})" for task in tasks.open_tasks(state))
    said = f"Not finished: the limit of {limit} iterations was reached. Open tasks: {left}."
    if not isinstance(answer.content, str):
        return answer
    return Answer(f"{answer.content}\n\n{said}" if answer.content else said)
