"""The journal of a run that has a budget: it counts tool calls, and stores the start of each model call.

If a crash cuts a model call off, later attempts count the estimate that was stored with its start. A run without a
budget uses the plain :class:`Journal`.
"""

from collections.abc import Awaitable, Callable, Sequence

from musterd.core import clock
from musterd.core.metrics import Metrics
from musterd.core.records import RunRow, StepKind, StepRow, StepState, Usage
from musterd.core.totals import is_tool_call
from musterd.engine.journal import Journal
from musterd.engine.outbox import Outbox
from musterd.engine.recovery import Recovered
from musterd.engine.steering_inbox import SteeringInbox
from musterd.engine.step_gate import StepGate
from musterd.loop.budget import Amount, Budgets
from musterd.loop.metering import ModelStep, current_model_step
from musterd.loop.steps import Intent, MemberEnd, MemberStart
from musterd.models.call import ModelAnswer


class BudgetedJournal(Journal):
    """A journal that counts tool calls against the budgets, and stores the start of each model call."""

    def __init__(
        self,
        outbox: Outbox,
        gate: StepGate,
        root: RunRow,
        recovered: Recovered,
        inbox: SteeringInbox,
        metrics: Metrics,
        budgets: Budgets,
    ) -> None:
        super().__init__(outbox, gate, root, recovered, inbox, metrics)
        self._budgets = budgets
        self._member_paths: dict[str, str] = {}

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it. A context variable tells the metered caller which step the call is for."""

        async def call_for_step() -> ModelAnswer:
            token = current_model_step.set(ModelStep(path, fingerprint, name))
            try:
                return await call()
            finally:
                current_model_step.reset(token)

        return await super().model(path, fingerprint, name, call_for_step)

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Count the calls, then commit them as every journal does.

        :raises BudgetSpent: a ceiling is reached.
        """
        # Counted before the commit: if the budget is spent, no intent is stored and no call is made.
        self._budgets.take_calls([intent.path for intent in intents if is_tool_call(intent.kind, intent.path)])
        for member in members:
            self._member_paths[member.run_id] = member.path
            self._budgets.open_member(member.path, member.budget)
        await super().intend(intents, members)

    def member_ended(self, end: MemberEnd) -> None:
        """Record the end of a member's run, with what is left of its own budget."""
        if (path := self._member_paths.get(end.run_id)) is not None:
            end.output.budget = self._budgets.as_json(path)
        super().member_ended(end)

    async def model_call_began(self, model_call: ModelStep, estimate: Amount) -> None:
        """Commit the start of a model call, with the estimate that counts if the call is cut off.

        Committed before the call is made: an attempt that dies during the call has spent the tokens all the same.
        """
        path, fingerprint, name = model_call.path, model_call.fingerprint, model_call.name
        step = self._step(path, StepKind.MODEL, StepState.STARTED, fingerprint, clock.now(), name)
        step.earlier = self._attempts.of_model_call(path)
        self._estimate(step, estimate)
        self._outbox.batch.steps.append(step)
        await self._outbox.commit()

    def _add_failed_model_call(self, step: StepRow) -> None:
        # The call counts for nothing. It is stored with the next commit; if a crash comes first, its estimate counts:
        # too much rather than too little.
        self._estimate(step, Amount())
        super()._add_failed_model_call(step)

    def _estimate(self, step: StepRow, estimate: Amount) -> None:
        # Earlier attempts may have been cut off in this call. Their estimates share its row, so they are added each
        # time.
        tokens, cost = self._budgets.cut_off(step.path)
        step.usage = Usage(estimated_tokens=tokens + estimate.tokens)
        step.cost = cost + estimate.cost_usd
