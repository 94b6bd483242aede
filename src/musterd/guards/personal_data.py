"""Personal data in a message: refused, or masked before any model reads it."""

import re
from collections.abc import Mapping

from musterd.core.errors import CheckTrigger, InputCheckError
from musterd.guards.given import RunInput
from musterd.guards.guardrail import BaseGuardrail

_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(?<![\d-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)|\d{3})[ .-]?\d{3}[ .-]?\d{4}(?![\d-])")


class PIIDetectionGuardrail(BaseGuardrail):
    """Finds social security numbers, cards, e-mail addresses and phone numbers.

    :param mask_pii: put asterisks in their place, rather than refuse the message.
    :param custom_patterns: further patterns by name, as texts or compiled.
    """

    def __init__(
        self,
        mask_pii: bool = False,
        enable_ssn_check: bool = True,
        enable_credit_card_check: bool = True,
        enable_email_check: bool = True,
        enable_phone_check: bool = True,
        custom_patterns: Mapping[str, str | re.Pattern[str]] | None = None,
    ) -> None:
        self.mask_pii = self.hides_input = mask_pii
        known = {
            "SSN": (enable_ssn_check, _SSN),
            "Credit Card": (enable_credit_card_check, _CARD),
            "Email": (enable_email_check, _EMAIL),
            "Phone": (enable_phone_check, _PHONE),
        }
        self.pii_patterns = {name: pattern for name, (is_on, pattern) in known.items() if is_on}
        self.pii_patterns.update((name, re.compile(given)) for name, given in (custom_patterns or {}).items())

    def check(self, run_input: RunInput) -> None:
        """Look for personal data; mask it where that is wanted.

        :raises InputCheckError: there is some; ``additional_data`` has the kinds, never the data.
        """
        text, found = run_input.input_content_string(), []
        for name, pattern in self.pii_patterns.items():
            masked = pattern.sub(_masked_card if pattern is _CARD else _masked, text)
            if masked != text:
                found.append(name)
                text = masked
        if found and not self.mask_pii:
            raise InputCheckError(
                f"The message holds personal data: {', '.join(found)}.",
                check_trigger=CheckTrigger.PII_DETECTED,
                additional_data={"detected_pii": found},
            )
        if found:
            run_input.input_content = text

    async def async_check(self, run_input: RunInput) -> None:
        """The same at once: it takes no thread's time."""
        self.check(run_input)


def _masked(found: re.Match[str]) -> str:
    return "*" * len(found[0])


def _masked_card(found: re.Match[str]) -> str:
    """Asterisks for a number that passes the check of card numbers (ISO/IEC 7812-1); others stay."""
    digits = [int(sign) for sign in reversed(found[0]) if sign.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return _masked(found) if (sum(digits[::2]) + sum(doubled)) % 10 == 0 else found[0]
