"""Guards: functions and guardrails that look at what a run is asked and at what it answers.

A hook, among ``pre_hooks`` or ``post_hooks``, is any function; it is handed what its parameters name (:data:`GIVEN`).
It refuses by raising :class:`InputCheckError` or :class:`OutputCheckError`: the run ends in ERROR and says why.
"""

from musterd.core.errors import CheckTrigger, InputCheckError, OutputCheckError
from musterd.guards.given import GIVEN, RunContext, RunInput, RunOutput
from musterd.guards.guardrail import BaseGuardrail
from musterd.guards.injection import PromptInjectionGuardrail
from musterd.guards.moderation import OpenAIModerationGuardrail
from musterd.guards.personal_data import PIIDetectionGuardrail

TeamRunInput = RunInput
"""Agno's name of what a team is asked."""
TeamRunOutput = RunOutput
"""Agno's name of what a team answers."""

__all__ = [
    "GIVEN",
    "BaseGuardrail",
    "CheckTrigger",
    "InputCheckError",
    "OpenAIModerationGuardrail",
    "OutputCheckError",
    "PIIDetectionGuardrail",
    "PromptInjectionGuardrail",
    "RunContext",
    "RunInput",
    "RunOutput",
    "TeamRunInput",
    "TeamRunOutput",
]
