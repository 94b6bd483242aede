"""The walk of a workflow without a database: steps are kept in memory, and its agents are scripted."""

from typing import Any

from musterd import Settings, Workflow
from musterd.core.daemon_threads import DaemonThreads
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output
from musterd.declare import Registry
from musterd.flow.walk import Walk
from musterd.loop.assignment import Assignment
from musterd.loop.run_tree import Models, RunTree
from musterd.models.call import ModelCaller
from musterd.models.names import NO_MODEL, describe
from tests.support.held_model import HeldModel
from tests.support.loop import SALT, MemorySteps


class FlowHarness:
    """A workflow's run in memory.

    :param options: values for the assignment; ``settings`` for the settings.
    """

    def __init__(self, workflow: Workflow, message: Any = "hello", **options: Any) -> None:
        component = Registry.of(workflows=[workflow]).workflows[workflow.id]
        settings = Settings(**{"model_retry_seconds": 0, **options.pop("settings", {})})
        model = self.model = HeldModel()
        self.events: list[Event] = []
        self.steps = MemorySteps()
        self.tree = RunTree(
            root_id="root",
            session_id="s1",
            user_id="somebody",
            salt=SALT,
            steps=self.steps,
            emit=self.events.append,
            models=Models(
                caller=ModelCaller(settings),
                load=_nothing,
                of=lambda component: model,
                describe=lambda component: describe(model) if component.kind != "workflow" else NO_MODEL,
                aside=lambda component, role, declared: model,
            ),
            settings=settings,
            threads=DaemonThreads(4, "test-step"),
        )
        options = {"state": dict(workflow.session_state or {}), "path": "", "opens_session": True, **options}
        self.run = Assignment(component=component, run_id="root", parent_id=None, prompt=message, **options)
        self.walk = Walk(self.tree, self.run)

    async def drive(self) -> Output:
        """Drive the run to its result."""
        return await self.walk.drive()

    @property
    def state(self) -> JsonObject:
        """The session state as the run left it."""
        return self.run.state

    @property
    def step_results(self) -> list[JsonObject]:
        """The results of the workflow's own steps."""
        return self.walk.progress.output.step_results

    def kinds(self) -> list[str]:
        """The kinds of the workflow's own events about steps, each with the name of its step."""
        own = [event for event in self.events if event.run_id == "root" and "step" in event.data]
        return [f"{event.kind.value} {event.data['step']['step_name']}" for event in own]

    def data(self, kind: EventKind) -> list[JsonObject]:
        """The data of the events of a kind."""
        return [event.data for event in self.events if event.kind is kind]


async def _nothing(component: object) -> None:
    pass
