"""Guards: functions and guardrails that check the input and the output of a run.

A hook is any function listed in ``pre_hooks`` or ``post_hooks``. It receives the values that its parameters name
(:data:`HOOK_PARAMETERS`). To reject a run it raises :class:`InputCheckError` or :class:`OutputCheckError`; the run then
finishes in ERROR with that message.
"""

from musterd.core.errors import CheckTrigger, InputCheckError, OutputCheckError
from musterd.guards.guardrail import BaseGuardrail
from musterd.guards.hook_types import HOOK_PARAMETERS, RunContext, RunInput, RunOutput
from musterd.guards.injection import PromptInjectionGuardrail
from musterd.guards.moderation import OpenAIModerationGuardrail
from musterd.guards.personal_data import PIIDetectionGuardrail

TeamRunInput = RunInput
"""Agno's name for a team's input."""
TeamRunOutput = RunOutput
"""Agno's name for a team's output."""

__all__ = [
    "HOOK_PARAMETERS",
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
