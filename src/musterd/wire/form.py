"""The request that starts a run: form fields or a JSON body in, a :class:`StartRequest` or one 422 out.

Unknown names are ignored, as the peer does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from musterd.core.errors import BadRequest
from musterd.core.media import MEDIA_NAMES
from musterd.core.records import Input
from musterd.core.requirements import Decision
from musterd.core.scheduling import OnBusy, SchedulingOptions
from musterd.wire.budgets import budget
from musterd.wire.fields import Fields
from musterd.wire.media import media_list
from musterd.wire.requirements import parse_decisions

OBJECT_FIELDS = ("session_state", "dependencies", "metadata", "knowledge_filters", "output_schema")
"""Fields that hold an object, as JSON text in forms."""

OPTION_FLAGS = (
    "use_json_schema",
    "add_history_to_context",
    "add_dependencies_to_context",
    "add_session_state_to_context",
    "stream_events",
)
"""Switches that the run remembers."""

OPTION_COUNTS = ("num_history_runs", "num_history_messages")
"""How much of the history the run is shown, where its request says it."""

HISTORY_RUNS = 1000
"""The most that a request may ask to be shown."""

PRIORITIES = 2**31 - 1
"""The highest priority, and the lowest below zero."""

Answer = Literal["output", "stream", "receipt"]
Uploads = Mapping[str, Sequence[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """What a caller asks when it starts a run.

    :param stream: whether events are asked for; the peer's default is True.
    :param is_stream_given: whether the caller said so itself: ``background`` wins over the default only.
    :param session_id: None for a new session.
    :param user_id: what the caller calls the user; ignored where a token proves one.
    :param run_id: the id that the caller chose, else None.
    :param media: images, audio, videos, files; uploads and text lists together.
    :param turn: when the run gets its turn, as far as the request says it.
    :param options: of the fields in :data:`OBJECT_FIELDS`, :data:`OPTION_FLAGS` and :data:`OPTION_COUNTS` those given;
        ``budget``, ``webhook_url``.
    """

    message: str
    stream: bool = True
    is_stream_given: bool = False
    background: bool = False
    session_id: str | None = None
    user_id: str | None = None
    run_id: str | None = None
    media: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    turn: SchedulingOptions = field(default_factory=SchedulingOptions)

    @property
    def answer(self) -> Answer:
        """How to answer: with the output at the end, with events, or at once with 202."""
        if self.background and not (self.stream and self.is_stream_given):
            return "receipt"
        return "stream" if self.stream else "output"

    @property
    def stream_events(self) -> bool:
        """Whether a stream shows all events, not only text and the end."""
        return bool(self.options.get("stream_events", True))

    def as_input(self) -> Input:
        """The part of the request that is stored with the run."""
        return Input(message=self.message, media=self.media, options=self.options)


def parse_start(values: Mapping[str, Any], uploads: Uploads | None = None) -> StartRequest:
    """The request in a form's text fields, or in a JSON body's keys.

    :param values: a form's last value by name, or the object of a JSON body (then with native types).
    :param uploads: media of uploaded files by name, as :func:`musterd.wire.files.media_of` sorts them.
    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values)
    stream = fields.flag("stream")
    request = StartRequest(
        message=fields.message(),
        stream=True if stream is None else stream,
        is_stream_given=stream is not None,
        background=bool(fields.flag("background")),
        session_id=fields.identifier("session_id"),
        user_id=fields.identifier("user_id"),
        run_id=fields.identifier("run_id"),
        media=_media(fields, uploads or {}),
        options=_options(fields),
        turn=_turn(fields),
    )
    fields.flag("monitor")
    fields.whole("version")
    fields.problems.raise_if_any()
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueRequest:
    """What a caller decides about a paused run, and how it wants to be answered.

    :param budget: what a run that goes on from a failed one may use.
    """

    session_id: str
    decisions: list[Decision]
    stream: bool = True
    background: bool = False
    budget: dict[str, Any] | None = None

    @property
    def answer(self) -> Answer:
        """How to answer: as of :attr:`StartRequest.answer`, but that ``background`` always wins."""
        if self.background:
            return "receipt"
        return "stream" if self.stream else "output"


def parse_continue(values: Mapping[str, Any]) -> ContinueRequest:
    """The decisions in a form's text fields, or in a JSON body's keys.

    :raises BadRequest: session_id is missing, or a field is no JSON.
    :raises InvalidInput: with everything else that is wrong.
    """
    fields = Fields(values)
    session_id, stream = fields.identifier("session_id"), fields.flag("stream")
    background, asked_budget = bool(fields.flag("background")), budget(fields)
    fields.problems.raise_if_any()
    if session_id is None:
        raise BadRequest("session_id is required for this action")
    return ContinueRequest(
        session_id=session_id,
        decisions=parse_decisions(values),
        stream=True if stream is None else stream,
        background=background,
        budget=asked_budget,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """Where a reader that comes back left off.

    :param after: the index of the last event that it has; -1: none.
    :param session_id: the run's session, where it is given: it must be that.
    :param stream_events: whether all events are shown; None: as the run was asked to.
    """

    after: int = -1
    session_id: str | None = None
    stream_events: bool | None = None


def parse_resume(values: Mapping[str, Any]) -> ResumeRequest:
    """Where a reader left off, in a form's text fields or in a JSON body's keys.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values)
    after = fields.whole("last_event_index", -1, 2**53)
    session_id, shows_all = fields.identifier("session_id"), fields.flag("stream_events")
    fields.problems.raise_if_any()
    return ResumeRequest(after=-1 if after is None else after, session_id=session_id, stream_events=shows_all)


def parse_json_body(body: Any) -> StartRequest:
    """The request in a parsed JSON body.

    :raises InvalidInput: when the body is no object, or with everything that is wrong in it.
    """
    return parse_start(Fields.of_object(body).values)


def _media(fields: Fields, uploads: Uploads) -> dict[str, list[dict[str, Any]]]:
    media: dict[str, list[dict[str, Any]]] = {}
    for name in MEDIA_NAMES:
        if items := [*uploads.get(name, ()), *media_list(fields, name)]:
            media[name] = items
    return media


def _options(fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {name: fields.json_object(name) for name in OBJECT_FIELDS}
    found.update((name, fields.flag(name)) for name in OPTION_FLAGS)
    found.update((name, fields.whole(name, 0, HISTORY_RUNS)) for name in OPTION_COUNTS)
    found["budget"], found["webhook_url"] = budget(fields), fields.text("webhook_url")
    return {name: value for name, value in found.items() if value is not None}


def _turn(fields: Fields) -> SchedulingOptions:
    on_busy = fields.choice("on_busy", tuple(OnBusy))
    turn = SchedulingOptions(
        on_busy=None if on_busy is None else OnBusy(on_busy),
        priority=fields.whole("priority", -PRIORITIES, PRIORITIES),
        delay_seconds=fields.seconds("delay_seconds"),
        timeout_seconds=fields.seconds("timeout_seconds", takes_zero=False),
    )
    if turn.timeout_seconds is not None and turn.timeout_seconds <= (turn.delay_seconds or 0):
        words = "Input should be greater than delay_seconds: both count from the run's acceptance"
        fields.problems.add("timeout_seconds", "greater_than", words, turn.timeout_seconds)
    return turn
