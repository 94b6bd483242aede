"""What musterd does differently with a file of Agno. A start names it, and ``musterd inspect`` lists it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from musterd.agno.hosting import HostApplication
from musterd.declare.source_location import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that the file declares and that is different here.

    :param kind: ``here``: musterd does it differently; ``not served``: musterd leaves it out.
    :param option: the option as the file writes it: ``db``, ``AgentOS(interfaces=…)``.
    :param text: what it means here.
    """

    kind: Literal["here", "not served"]
    option: str
    text: str
    place: Place | None


@dataclass(slots=True)
class Report:
    """The remarks about one source.

    :param requires_access: what asks for a key or a token, with its place; None if nothing does.
    :param requires_tokens: what says who the user of a request is, with its place, which only token keys can replace.
    :param settings: the settings that the file declares.
    :param host: the file's own application, in which musterd is served; None if it has none.
    :param is_of_agno: whether the source declares what it serves with Agno's classes.
    """

    remarks: list[Remark] = field(default_factory=list)
    requires_access: str | None = None
    requires_tokens: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    host: HostApplication | None = None
    is_of_agno: bool = False

    def here(self, option: str, text: str, place: Place | None) -> None:
        """Add an option that musterd handles differently."""
        self.remarks.append(Remark(kind="here", option=option, text=text, place=place))

    def not_served(self, option: str, text: str, place: Place | None) -> None:
        """Add an option that musterd leaves out."""
        self.remarks.append(Remark(kind="not served", option=option, text=text, place=place))

    def lines(self) -> list[str]:
        """The report: what is not served first, and one line for equal remarks at several places."""
        places: dict[tuple[str, str, str], list[str]] = {}
        for remark in sorted(self.remarks, key=lambda remark: remark.kind == "here"):
            listed = places.setdefault((remark.kind, remark.option, remark.text), [])
            if remark.place is not None and str(remark.place) not in listed:
                listed.append(str(remark.place))
        return [
            f"{', '.join(where) or 'the file'}: {option}{' is not served' if kind == 'not served' else ''} — {text}"
            for (kind, option, text), where in places.items()
        ]

    def start_lines(self) -> list[str]:
        """What a start prints: a line for each thing that is not served, and one line for all others."""
        lost = Report([remark for remark in self.remarks if remark.kind == "not served"])
        options = sorted({remark.option for remark in self.remarks if remark.kind == "here"})
        rest = f"different in musterd: {', '.join(options)} (musterd inspect says how)"
        return [*lost.lines(), *([rest] if options else [])]
