"""Runs, as the client returns them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from .decisions import Requirement, requirements_of
from .errors import RunCancelled, RunFailed, RunPaused, StillRunning
from .wire_record import WireRecord

ComponentKind = Literal["team", "agent", "workflow"]
RunStatus = Literal["PENDING", "RUNNING", "PAUSED", "COMPLETED", "ERROR", "CANCELLED"]

COMPONENT_KINDS: tuple[ComponentKind, ...] = ("team", "agent", "workflow")
_MEDIA = (("images", "image"), ("videos", "video"), ("audio", "audio"), ("files", "file"))
_FINAL = frozenset({"COMPLETED", "ERROR", "CANCELLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run failed.

    :param code: for programs, such as ``model_error``; the page "Errors" lists them.
    :param retryable: whether the same run may succeed another time.
    """

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMedia:
    """An image, sound, video or file that a run has produced, without its content: ``Client.runs.download`` gets it.

    :param kind: ``image``, ``video``, ``audio`` or ``file``.
    :param media_id: names its content; None if it is only a link.
    :param url: the link.
    """

    kind: str
    media_id: str | None
    filename: str | None
    mime_type: str | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it was when it was read. A run that was just started has its ids and its status.

    :param component_id: the team, agent or workflow.
    :param content: the answer: a text, or an object if the run has an output schema; the message of an error.
    :param error: why it failed, once its status is ``ERROR``.
    :param requirements: what it waits for while its status is ``PAUSED``.
    :param cost: US dollars, with its members; None if it is not known.
    :param raw: the run as the server sent it.
    """

    run_id: str
    session_id: str
    status: RunStatus
    component_kind: ComponentKind | None = None
    component_id: str | None = None
    content: Any = None
    error: RunError | None = None
    requirements: tuple[Requirement, ...] = ()
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cost: float | None = None
    raw: dict[str, Any] = field(repr=False, default_factory=dict)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The run that the server sent."""
        kind = next((kind for kind in COMPONENT_KINDS if raw.get(f"{kind}_id")), None)
        error = raw.get("error")
        return cls(
            run_id=raw["run_id"],
            session_id=raw["session_id"],
            status=raw["status"],
            component_kind=kind,
            component_id=None if kind is None else raw[f"{kind}_id"],
            content=raw.get("content"),
            error=error and RunError(code=error["code"], message=error["message"], retryable=error["retryable"]),
            requirements=tuple(requirements_of(raw)),
            created_at=raw.get("created_at"),
            started_at=raw.get("started_at"),
            ended_at=raw.get("ended_at"),
            cost=raw.get("cost"),
            raw=raw,
        )

    @property
    def is_final(self) -> bool:
        """Whether it has completed, failed or was cancelled."""
        return self.status in _FINAL

    @property
    def is_settled(self) -> bool:
        """Whether it has finished, or waits for a person."""
        return self.is_final or self.status == "PAUSED"

    @property
    def media(self) -> tuple[RunMedia, ...]:
        """The images, sounds, videos and files that it has produced, with those of its members."""
        items = ((kind, item) for name, kind in _MEDIA for item in self.raw.get(name) or ())
        return tuple(
            RunMedia(
                kind=kind,
                media_id=item.get("blob"),
                filename=item.get("filename"),
                mime_type=item.get("mime_type"),
                url=item.get("url"),
            )
            for kind, item in items
        )

    def require_completed(self) -> Self:
        """The run itself, if it has completed.

        :raises RunFailed: it ended in ERROR.
        :raises RunCancelled: it was cancelled.
        :raises RunPaused: it waits for a person.
        :raises StillRunning: it has not finished.
        """
        if self.status == "COMPLETED":
            return self
        if self.status == "ERROR":
            reason = f": {self.error.message} ({self.error.code})" if self.error else ""
            raise RunFailed.of(self, f"failed{reason}")
        if self.status == "CANCELLED":
            raise RunCancelled.of(self, "was cancelled")
        if self.status == "PAUSED":
            names = ", ".join(requirement.name for requirement in self.requirements)
            raise RunPaused.of(self, f"waits for a decision about {names}: see its requirements, and Client.decide")
        raise StillRunning.of(self, f"has not finished: its status is {self.status}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary(WireRecord):
    """A run in a list.

    :param input: the first 200 characters of its message.
    :param outcome: the same of its answer, of its error, or of what it waits for.
    :param waiting: how many decisions it and its members wait for.
    """

    run_id: str
    session_id: str
    status: RunStatus
    component_kind: ComponentKind
    component_id: str
    input: str
    outcome: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep(WireRecord):
    """A model call, tool call or delegation of a run or of its members.

    :param path: its place in the run, such as ``t0/c1``; ``Client.fork`` takes it.
    :param kind: such as ``model``, ``tool`` or ``member``.
    :param cost: US dollars of a model call.
    """

    path: str
    kind: str
    state: str
    name: str | None
    run_id: str
    attempt: int
    started_at: float
    ended_at: float | None
    cost: float | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMessage(WireRecord):
    """A message to a running run.

    :param run_id: the run whose model is to read it.
    :param taken_at: when a model call read it; None if none has yet.
    :param next_run_id: the session's next run, which it started because no call of this run read it.
    """

    id: str
    run_id: str
    message: str
    created_at: float
    taken_at: float | None
    next_run_id: str | None
