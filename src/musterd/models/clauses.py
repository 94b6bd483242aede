"""Splits a plain request into clauses and matches the clauses to team members by shared words.

Both built-in models need it: ``scripted`` understands nothing else, and ``local`` is too small to split a request by
itself. Pure and deterministic; English only.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A clause starts with one of these words. "and" before any other word joins two things, not two requests.
_CLAUSE_STARTS = frozenset(
    re.findall(
        r"[\w']+",
        """
        add answer are ask book calculate can check compare compose compute convert could count create
        describe did divide do does draft explain fetch find forecast get give greet has have help how
        invent is list look make multiply name note offer plan please prepare produce remind report reserve
        say schedule search send show subtract suggest sum summarise summarize tell translate use was
        welcome were what what's when where which who who's whose why will work would write
        """,
    )
)
_ALSO = r"(?:also\s+|then\s+|finally\s+|please\s+)*"
_GAP = r"(?:,|(?<!\s))\s+"  # matches only at the gap's start; otherwise a long gap would cost quadratic time
_SEPARATOR = re.compile(
    rf"(?P<hard>[;\n]+|(?<=[.?!])\s+|{_GAP}(?:and\s+)?then\b)|(?P<soft>{_GAP}and\b|,)\s*{_ALSO}(?=(?P<next>[\w']+))",
    re.IGNORECASE,
)
_LOOSE_SEPARATOR = re.compile(rf"{_GAP}and\s+|,\s+", re.IGNORECASE)
_MIN_PART_WORDS = 3
_LEADING_WORDS = re.compile(rf"^[\s,]*(?:and\s+)?{_ALSO}", re.IGNORECASE)

_MEMBER = re.compile(r"<member id=\"([^\"]+)\"(?: name=\"([^\"]*)\")?[^>]*>(.*?)</member>", re.DOTALL)
_ROLE = re.compile(r"^\s*(?:Role|Description):\s*(.+?)\s*$", re.MULTILINE)

_WORD = re.compile(r"[a-z0-9]+")
_STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a about agent all also an and any are as at be by can do does for from get give has have how i in is
        it its know knows me member my of on or our please s say she short some t team tell that the their
        them then there they this to up us use we what when where which who will with you your
        """
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A team member, as described in the leader's system message."""

    id: str
    name: str = ""
    role: str = ""

    @property
    def words(self) -> str:
        """All text that describes the member's work."""
        return f"{self.id.replace('-', ' ').replace('_', ' ')} {self.name} {self.role}"


def members_of(text: str) -> list[Member]:
    """The members in a leader's system message, each as ``<member id="…" name="…">  Role: …</member>``."""
    members = []
    for id_, name, body in _MEMBER.findall(text):
        role = _ROLE.search(body)
        members.append(Member(id=id_, name=name, role=role[1] if role else ""))
    return members


def split_request(text: str) -> list[str]:
    """The clauses of ``text``, verbatim except for the words that join them.

    The text is cut at the ends of sentences, at "then", and at "and" or a comma before a word that can start a request.
    """
    clauses, start = [], 0
    for separator in _SEPARATOR.finditer(text):
        if separator["hard"] is None and separator["next"].lower() not in _CLAUSE_STARTS:
            continue
        clauses.append(text[start : separator.start()])
        start = separator.end()
    clauses.append(text[start:])
    cleaned = (_LEADING_WORDS.sub("", clause).strip(" ,;\n\t") for clause in clauses)
    return [clause for clause in cleaned if _WORD.search(clause.lower())]


def parts_of(clause: str) -> list[str]:
    """The parts of a clause that may be separate requests ("the weather in Rome and the events on Monday").

    The whole clause if there is nothing to split or a part is too short to be a request.
    """
    parts = [part.strip() for part in _LOOSE_SEPARATOR.split(clause)]
    return parts if all(len(part.split()) >= _MIN_PART_WORDS for part in parts) else [clause]


def words_of(text: str) -> frozenset[str]:
    """The stems of the words of ``text``, without stop words."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS)


def pick_by_words(clause: str, members: Sequence[Member]) -> Member | None:
    """The member that shares the most words with ``clause``, the first one in a tie. None if no member shares any."""
    clause_words = words_of(clause)
    scores = [len(clause_words & words_of(member.words)) for member in members]
    best = max(scores, default=0)
    return members[scores.index(best)] if best else None


def joined(replies: Iterable[str]) -> str:
    """The members' replies as one answer."""
    return "\n\n".join(reply.strip() for reply in replies if reply.strip())


def _stem(word: str) -> str:
    for suffix in ("ing", "ers", "er", "es", "ed", "s", "e"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word
