"""Prompt injection, as far as its usual phrases give it away."""

import re
from collections.abc import Sequence

from musterd.core.errors import CheckTrigger, InputCheckError
from musterd.guards.given import RunInput
from musterd.guards.guardrail import BaseGuardrail

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
"""What is looked for by default, in any case and with any white space between the words."""


class PromptInjectionGuardrail(BaseGuardrail):
    """Refuses messages with phrases that attempts at prompt injection have. It catches the careless, not the careful.

    :param injection_patterns: phrases in place of the default ones.
    """

    def __init__(self, injection_patterns: Sequence[str] | None = None) -> None:
        phrases = PHRASES if injection_patterns is None else injection_patterns
        words = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
        self._found = re.compile("|".join(words) or r"(?!)", re.IGNORECASE)

    def check(self, run_input: RunInput) -> None:
        """Look for the phrases.

        :raises InputCheckError: one is there.
        """
        if self._found.search(run_input.input_content_string()):
            raise InputCheckError("Potential prompt injection detected.", check_trigger=CheckTrigger.PROMPT_INJECTION)

    async def async_check(self, run_input: RunInput) -> None:
        """The same at once: it takes no thread's time."""
        self.check(run_input)
