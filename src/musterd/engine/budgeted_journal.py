"""The journal of a run that has a budget: it counts tool calls, and stores that a model call was begun.

Where a crash cuts a model call off, later attempts count the estimate that was stored with its beginning. A run
without a budget meets nothing of this.
"""

from collections.abc import Awaitable, Callable, Sequence

from musterd.core import clock
from musterd.core.records import RunRow, StepKind, StepRow, StepState, Usage
from musterd.engine.journal import Journal
from musterd.engine.outbox import Outbox
from musterd.engine.recovery import Recovered
from musterd.engine.steering_inbox import SteeringInbox
from musterd.loop.budget import Amount, Budgets, is_tool_call
from musterd.loop.metering import ModelStep, current_model_step
from musterd.loop.steps import Intent, MemberEnd, MemberStart
from musterd.models.call import ModelAnswer


class BudgetedJournal(Journal):
    """A journal that counts tool calls, and stores that a model call was begun."""

    def __init__(
        self, outbox: Outbox, root: RunRow, recovered: Recovered, post: SteeringInbox, budgets: Budgets
    ) -> None:
        super().__init__(outbox, root, recovered, post)
        self._budgets = budgets
        self._paths: dict[str, str] = {}

    async def model(
        self, path: str, fingerprint: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it; the caller below is told which step it is for."""

        async def at_its_place() -> ModelAnswer:
            token = current_model_step.set(ModelStep(path, fingerprint))
            try:
                return await call()
            finally:
                current_model_step.reset(token)

        return await super().model(path, fingerprint, at_its_place)

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Count the calls; then as every journal.

        :raises BudgetSpent: a ceiling is reached.
        """
        self._budgets.take_calls([intent.path for intent in intents if is_tool_call(intent.kind, intent.path)])
        for member in members:
            self._paths[member.run_id] = member.path
            self._budgets.open_member(member.path, member.budget)
        await super().intend(intents, members)

    def member_ended(self, end: MemberEnd) -> None:
        """Record how a member's run ended, and what is left of its own budget."""
        if (path := self._paths.get(end.run_id)) is not None:
            end.output.budget = self._budgets.as_json(path)
        super().member_ended(end)

    async def model_call_began(self, asked: ModelStep, estimate: Amount) -> None:
        """Commit that a model call begins, with all that its step is counted for if it is cut off."""
        self._outbox.record(self._model_step(asked, StepState.STARTED, estimate))
        await self._outbox.commit()

    def model_call_failed(self, asked: ModelStep) -> None:
        """Record that the model did not answer: the call counts for nothing."""
        self._outbox.record(self._model_step(asked, StepState.FAILED, Amount()))

    def _model_step(self, asked: ModelStep, state: StepState, estimate: Amount) -> StepRow:
        tokens, cost = self._budgets.cut_off(asked.path)
        step = self._step(asked.path, StepKind.MODEL, state, asked.fingerprint, clock.now())
        step.usage = Usage(estimated_tokens=tokens + estimate.tokens)
        step.cost = cost + estimate.cost_usd
        return step
