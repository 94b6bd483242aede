"""A guardrail that rejects messages with personal data, or masks it before a model reads them."""

import re
from collections.abc import Generator, Iterator, Mapping

from musterd.core.errors import CheckTrigger, InputCheckError
from musterd.guards.guardrail import BaseGuardrail
from musterd.guards.hook_types import RunInput
from musterd.guards.long_texts import matches_by_piece, run, run_with_pauses

_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
# The first digit of a number, or of a group of at least 4 digits within it. The longest number from there is in a
# lookahead, because the number of the next match may begin within it.
_CARD = re.compile(r"(?:(?<![\d-])(?<!\d )|(?<=\d[ -])(?=\d{4}))(?=(\d(?:[ -]?\d){12,18})(?!\d|-(?!\d)))\d")
_CARD_GROUPS = re.compile(r"(?:\d{4,}[ -])*\d+")
"""How a card number is written: as one group, or in groups of at least 4 digits, of which the last may be shorter."""
_DIGITS = re.compile(r"\d+")
_CARD_DIGITS = 13
"""The fewest digits of a card number."""
_DOUBLED = str.maketrans("0123456789", "0246813579")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(?<![\d-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)|\d{3})[ .-]?\d{3}[ .-]?\d{4}(?![\d-])")


class PIIDetectionGuardrail(BaseGuardrail):
    """Finds social security numbers, card numbers, e-mail addresses and phone numbers.

    :param mask_pii: replace the data with asterisks instead of rejecting the message.
    :param custom_patterns: additional patterns by name, as strings or compiled.
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
        builtin_patterns = {
            "SSN": (enable_ssn_check, _SSN),
            "Credit Card": (enable_credit_card_check, _CARD),
            "Email": (enable_email_check, _EMAIL),
            "Phone": (enable_phone_check, _PHONE),
        }
        self.pii_patterns = {name: pattern for name, (is_on, pattern) in builtin_patterns.items() if is_on}
        self.pii_patterns.update((name, re.compile(pattern)) for name, pattern in (custom_patterns or {}).items())

    def check(self, run_input: RunInput) -> None:
        """Search the message for personal data, and mask it if ``mask_pii`` is set.

        :raises InputCheckError: if there is some; ``additional_data`` names the kinds, never the data.
        """
        run(self._steps(run_input))

    async def async_check(self, run_input: RunInput) -> None:
        """As ``check``, and let other tasks run while a long message is searched.

        :raises InputCheckError: if there is some.
        """
        await run_with_pauses(self._steps(run_input))

    def _steps(self, run_input: RunInput) -> Iterator[None]:
        text, detected = run_input.input_content_string(), []
        for name, pattern in self.pii_patterns.items():
            masked = yield from _masked_text(pattern, text)
            if masked != text:
                detected.append(name)
                text = masked
        if detected and not self.mask_pii:
            raise InputCheckError(
                f"The message contains personal data: {', '.join(detected)}.",
                check_trigger=CheckTrigger.PII_DETECTED,
                additional_data={"detected_pii": detected},
            )
        if detected:
            run_input.input_content = text


def _masked_text(pattern: re.Pattern[str], text: str) -> Generator[None, None, str]:
    """``text`` with its matches masked. One step for each piece that is searched."""
    end_of = _end_of_card if pattern is _CARD else re.Match.end
    parts: list[str] = []
    position = 0
    for matches in matches_by_piece(pattern, text):
        for match in matches:
            end = end_of(match)
            begin = max(match.start(), position)  # two numbers that can both be a card's may overlap
            if end > begin:
                parts += [text[position:begin], "*" * (end - begin)]
                position = end
        yield
    return "".join([*parts, text[position:]])


def _end_of_card(match: re.Match[str]) -> int:
    """The end of the longest card number that begins with a match; its start if none does.

    A number with nothing before it may have any groups. If there are other digits around it, such as the card's expiry
    date, the groups must be those of cards: otherwise most tables of short numbers would contain a card number.
    """
    longest, start = match[1], match.start()
    has_digits_before = re.match(r"\d[ -]", match.string[max(start - 2, 0) : start])
    if not has_digits_before and _has_checksum(longest):
        return start + len(longest)
    for end in reversed([group.end() for group in _DIGITS.finditer(longest)]):
        if _CARD_GROUPS.fullmatch(longest, 0, end) and _has_checksum(longest[:end]):
            return start + end
    return start


def _has_checksum(number: str) -> bool:
    """Whether a number has enough digits and passes the checksum of card numbers (ISO/IEC 7812-1)."""
    digits = number.replace(" ", "").replace("-", "")[::-1]
    if len(digits) < _CARD_DIGITS:
        return False
    # Every second digit is doubled, and counts as the sum of the digits of that.
    return (sum(map(int, digits[::2])) + sum(map(int, digits[1::2].translate(_DOUBLED)))) % 10 == 0
