"""Detection of prompt injection by its usual phrases."""

import re
from collections.abc import Iterator, Sequence

from musterd.core.errors import CheckTrigger, InputCheckError
from musterd.guards.guardrail import BaseGuardrail
from musterd.guards.hook_types import RunInput
from musterd.guards.long_texts import matches_by_piece, run, run_with_pauses

PHRASES = (
    "ignore all previous instructions",
    "ignore previous instructions",
    "ignore the above",
    "ignore your instructions",
    "disregard previous instructions",
    "disregard your instructions",
    "disregard the above",
    "forget your instructions",
    "forget previous instructions",
    "forget everything",
    "override your instructions",
    "override safety",
    "bypass restrictions",
    "bypass your safety",
    "ignore safeguards",
    "reveal your system prompt",
    "print your system prompt",
    "show me your system prompt",
    "system prompt",
    "developer mode",
    "jailbreak",
    "do anything now",
    "you are now a",
    "act as if you",
    "pretend you are",
    "pretend to be",
    "roleplay as",
    "admin override",
    "root access",
)
"""The default phrases, matched case-insensitively and with any white space between the words."""


class PromptInjectionGuardrail(BaseGuardrail):
    """Rejects messages that contain common phrases of prompt injection. It does not stop a careful attacker.

    :param injection_patterns: phrases that replace the default ones.
    """

    def __init__(self, injection_patterns: Sequence[str] | None = None) -> None:
        phrases = PHRASES if injection_patterns is None else injection_patterns
        patterns = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
        self._pattern = re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)

    def check(self, run_input: RunInput) -> None:
        """Search the message for the phrases.

        :raises InputCheckError: if one of them occurs.
        """
        run(self._steps(run_input))

    async def async_check(self, run_input: RunInput) -> None:
        """As ``check``, and let other tasks run while a long message is searched.

        :raises InputCheckError: if one of the phrases occurs.
        """
        await run_with_pauses(self._steps(run_input))

    def _steps(self, run_input: RunInput) -> Iterator[None]:
        for matches in matches_by_piece(self._pattern, run_input.input_content_string()):
            if matches:
                raise InputCheckError(
                    "Potential prompt injection detected.", check_trigger=CheckTrigger.PROMPT_INJECTION
                )
            yield
