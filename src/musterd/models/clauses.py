"""Reading a plain request: its clauses, the team it is given to, and which words they share.

The two built-in models need it: ``scripted`` has nothing else to go by, and ``local`` is too small to split
a request by itself. Pure and deterministic; English only.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A clause starts with one of these; "and" before any other word joins two things, not two requests.
_STARTS = frozenset(
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
_GAP = r"(?:,|(?<!\s))\s+"  # from where it begins only: else a long gap would be read again from each of its signs
_JOINT = re.compile(
    rf"(?P<hard>[;\n]+|(?<=[.?!])\s+|{_GAP}(?:and\s+)?then\b)|(?P<soft>{_GAP}and\b|,)\s*{_ALSO}(?=(?P<next>[\w']+))",
    re.IGNORECASE,
)
_LOOSE_JOINT = re.compile(rf"{_GAP}and\s+|,\s+", re.IGNORECASE)
_PART_WORDS = 3
_LEADING = re.compile(rf"^[\s,]*(?:and\s+)?{_ALSO}", re.IGNORECASE)

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
    """A member of a team, as its leader is told."""

    id: str
    name: str = ""
    role: str = ""

    @property
    def words(self) -> str:
        """Everything that says what the member is for."""
        return f"{self.id.replace('-', ' ').replace('_', ' ')} {self.name} {self.role}"


def members_of(text: str) -> list[Member]:
    """The members that a leader's system message lists, each as ``<member id="…" name="…">  Role:
    …</member>``."""
    members = []
    for id_, name, body in _MEMBER.findall(text):
        role = _ROLE.search(body)
        members.append(Member(id=id_, name=name, role=role[1] if role else ""))
    return members


def split_request(text: str) -> list[str]:
    """The clauses of ``text``, verbatim but for what joins them.

    Cut at the ends of sentences, at "then", and at "and" or a comma before a word that can start a request.
    """
    clauses, start = [], 0
    for joint in _JOINT.finditer(text):
        if joint["hard"] is None and joint["next"].lower() not in _STARTS:
            continue
        clauses.append(text[start : joint.start()])
        start = joint.end()
    clauses.append(text[start:])
    cleaned = (_LEADING.sub("", clause).strip(" ,;\n\t") for clause in clauses)
    return [clause for clause in cleaned if _WORD.search(clause.lower())]


def parts_of(clause: str) -> list[str]:
    """The parts of a clause that may be requests of their own ("the weather in Rome and the events on Monday").

    The clause alone where there is nothing to part or a part is too short to be a request.
    """
    parts = [part.strip() for part in _LOOSE_JOINT.split(clause)]
    return parts if all(len(part.split()) >= _PART_WORDS for part in parts) else [clause]


def words_of(text: str) -> frozenset[str]:
    """The telling words of ``text``, cut to their stems."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS)


def pick_by_words(clause: str, members: Sequence[Member]) -> Member | None:
    """The member that shares most words with ``clause``, the first of equals; None when nobody shares any."""
    asked = words_of(clause)
    scores = [len(asked & words_of(member.words)) for member in members]
    best = max(scores, default=0)
    return members[scores.index(best)] if best else None


def joined(replies: Iterable[str]) -> str:
    """What the members answered, as one answer."""
    return "\n\n".join(reply.strip() for reply in replies if reply.strip())


def _stem(word: str) -> str:
    for ending in ("ing", "ers", "er", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
