"""The bodies of requests that start a run, or continue one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from musterd.core.callers import Caller
from musterd.core.errors import BadRequest
from musterd.core.knowledge_filters import FilterInvalid, parse_filters
from musterd.core.media import MEDIA_NAMES
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.records import Input
from musterd.core.requirements import Decision
from musterd.core.webhook_addresses import MAX_URL_LENGTH
from musterd.http import run_changes, run_lists
from musterd.http.forms import Form
from musterd.http.media_items import Audio, Files, Images, Videos
from musterd.http.parameters import Identifier, OptionalJsonObject, Text, Unread, invalid, json_value, refuse_boolean
from musterd.service.chosen_run_ids import new_run_id
from musterd.service.runs import RunRequest
from musterd.wire.budgets import budget_problems
from musterd.wire.json_values import json_problem
from musterd.wire.problems import MISSING
from musterd.wire.requirements import parse_decisions

MAX_HISTORY = 1000
"""The most runs or messages of the history that a request may ask for."""
MAX_PRIORITY = 2**31 - 1
MAX_SECONDS = 366 * 24 * 3600
_MAX_VERSION = 2**53

_ITEMS = "each with a `url`, or with `content` (base64) and `mime_type`; `id` and `filename` are optional."

AnswerMode = Literal["output", "stream", "receipt"]
"""How a run is answered: with its output when it has finished or paused, with its events, or at once with 202."""


def _require_words(text: Any) -> Any:
    if isinstance(text, str) and not text.strip():
        raise invalid([((), *MISSING, None)])
    return text


Words = Annotated[Text, BeforeValidator(_require_words)]
"""A text that is not blank. A blank one counts as missing."""


def _require_budget(budget: dict[str, Any] | None) -> dict[str, Any] | None:
    if problems := [((), *problem) for problem in budget_problems(budget or {})]:
        raise invalid(problems)
    return budget or None


Budget = Annotated[OptionalJsonObject, AfterValidator(_require_budget)]


def _require_filters(value: Any) -> Any:
    value = json_value(value)
    try:
        parse_filters(value)
    except FilterInvalid as error:
        raise PydanticCustomError("value_error", "{words}", {"words": str(error)}) from None
    return value


KnowledgeFilters = Annotated[dict[str, Any] | list[dict[str, Any]] | None, BeforeValidator(_require_filters)]

_RESERVED_IDS = sorted(
    operation.path.removeprefix("/runs/")
    for operation in (*run_lists.OPERATIONS, *run_changes.OPERATIONS)
    if operation.path.startswith("/runs/")
)
"""``GET /runs/{run_id}`` could not show runs with these ids, because their paths are other operations."""


def _require_unreserved(run_id: str) -> str:
    if run_id in _RESERVED_IDS:
        message = f"String should not be the name of an operation: {', '.join(_RESERVED_IDS)}"
        raise PydanticCustomError("string_pattern_mismatch", message)
    return run_id


RunId = Annotated[
    Identifier, AfterValidator(_require_unreserved), Field(json_schema_extra={"not": {"enum": [*_RESERVED_IDS]}})
]
"""The id that a client chooses for a run."""

_OPTIONS = (
    *("session_state", "dependencies", "metadata", "knowledge_filters", "output_schema"),
    *("use_json_schema", "add_history_to_context", "add_dependencies_to_context", "add_session_state_to_context"),
    *("stream_events", "num_history_runs", "num_history_messages", "budget", "webhook_url"),
)
"""The fields that are stored with the run as its options."""


class StartForm(Form):
    """A request to start a run."""

    takes_uploads: ClassVar[bool] = True
    restricting: ClassVar[Mapping[str, Sequence[str]]] = {"knowledge_filters": ("filters",)}

    stream: bool = Field(True, description="Answer with events (`text/event-stream`) in place of the run's output.")
    message: Words = Field(
        description="What is asked; not empty.", examples=["Hello"], json_schema_extra={"minLength": 1}
    )
    background: bool = Field(False, description="Answer 202 at once; wins over `stream` where that is left out.")
    session_id: Identifier | None = Field(None, description="The session to go on with; absent or empty: a new one.")
    user_id: Identifier | None = Field(None, description="The user that the run is for.")
    run_id: RunId | None = Field(
        None,
        description="An id of your own. The same request again is answered with the same run; another request with "
        "this id is a 409. With a user's token, an id that is no UUID is this user's name for the run, which gets an "
        "id of its own.",
    )
    images: Images = Field(None, description=f"Images, {_ITEMS}")
    audio: Audio = Field(None, description=f"Audio, {_ITEMS}")
    videos: Videos = Field(None, description=f"Videos, {_ITEMS}")
    files: Files = Field(None, description=f"Files, {_ITEMS}")
    session_state: OptionalJsonObject = Field(None, description="What the session's state begins with.")
    dependencies: OptionalJsonObject = Field(None, description="Values for tools and instructions.")
    metadata: OptionalJsonObject = Field(None, description="Kept with the run and shown in it.")
    knowledge_filters: KnowledgeFilters = Field(
        None,
        description="A condition on the metadata of what the run's searches of knowledge bases find, in addition to "
        'the declared one: an object like {"country": "no"}, an expression, or a list of these.',
    )
    output_schema: OptionalJsonObject = Field(None, description="The JSON schema that the answer must have.")
    use_json_schema: bool | None = Field(None, description="Whether `output_schema` is a JSON schema.")
    add_history_to_context: bool | None = Field(
        None, description="Whether the model is shown earlier runs of the session."
    )
    add_dependencies_to_context: bool | None = Field(None, description="Whether the model is shown the dependencies.")
    add_session_state_to_context: bool | None = Field(
        None, description="Whether the model is shown the session's state."
    )
    stream_events: bool | None = Field(
        None, description="Stream all events, as by default; false: only the text, members' events and the end."
    )
    num_history_runs: int | None = Field(
        None, ge=0, le=MAX_HISTORY, description="How many earlier runs; without it as the team declares."
    )
    num_history_messages: int | None = Field(
        None, ge=0, le=MAX_HISTORY, description="How many messages of earlier runs, in place of `num_history_runs`."
    )
    budget: Budget = Field(
        None,
        description="Limits for the run with all its members: `tokens`, `cost_usd`, `seconds`, `tool_calls`, `depth`. "
        "Those that the team declares hold as well.",
    )
    webhook_url: Text | None = Field(
        None,
        description="Where the run's end, its pauses and its approvals are sent, signed. Not in private networks.",
        json_schema_extra={"format": "uri", "maxLength": MAX_URL_LENGTH},
    )
    on_busy: OnBusy | None = Field(
        None,
        description="What the run does while another one of the session is at work: wait, be refused with 409, have "
        "that one cancelled and come next, or run beside it. Without it: as the team declares, else `enqueue`.",
    )
    priority: int | None = Field(
        None,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Among runs that wait for a free worker the higher come first, by default 0; the order of a "
        "session stays.",
    )
    delay_seconds: float | None = Field(
        None,
        ge=0,
        le=MAX_SECONDS,
        allow_inf_nan=False,
        description="How long after its acceptance the run joins its session's queue.",
    )
    timeout_seconds: float | None = Field(
        None,
        gt=0,
        le=MAX_SECONDS,
        allow_inf_nan=False,
        description="How long after its acceptance the run must have finished; else it ends in ERROR. More than "
        "`delay_seconds`.",
    )
    monitor: bool = Field(True, description="Accepted; without effect.")
    version: int | None = Field(None, ge=-_MAX_VERSION, le=_MAX_VERSION, description="Accepted; without effect.")

    _refuse_booleans = field_validator(
        *("num_history_runs", "num_history_messages", "priority", "delay_seconds", "timeout_seconds", "version"),
        mode="before",
    )(refuse_boolean)

    @field_validator("timeout_seconds")
    @classmethod
    def _require_later_than_delay(cls, timeout_seconds: float | None, info: ValidationInfo) -> float | None:
        if timeout_seconds is not None and timeout_seconds <= (info.data.get("delay_seconds") or 0):
            message = "Input should be greater than delay_seconds: both count from the run's acceptance"
            raise PydanticCustomError("greater_than", message)
        return timeout_seconds

    @property
    def answer_mode(self) -> AnswerMode:
        """How to answer. ``background`` has precedence over ``stream`` unless the client asked for a stream itself."""
        if self.background and not (self.stream and "stream" in self.model_fields_set):
            return "receipt"
        return "stream" if self.stream else "output"

    @property
    def streams_all_events(self) -> bool:
        """Whether a stream has all events, not only the text, members' events and the end."""
        return self.stream_events is not False

    def run_input(self) -> Input:
        """The part of the request that is stored with the run."""
        options = {name: getattr(self, name) for name in _OPTIONS}
        return Input(
            message=self.message,
            media=self._media(),
            options={name: value for name, value in options.items() if value is not None},
        )

    def run_request(self, key: str | None, caller: Caller) -> RunRequest:
        """The request to the service.

        :param key: the idempotency key.
        """
        run_id = new_run_id(self.run_id, caller)
        return RunRequest(
            input=self.run_input(),
            run_id=run_id,
            has_chosen_id=self.run_id is not None,
            alias=None if self.run_id == run_id else self.run_id,
            session_id=self.session_id,
            user_id=self.user_id,
            is_background=self.background,
            cancel_on_disconnect=self.answer_mode == "stream" and not self.background and key is None,
            queueing=self.queueing_options(),
            key=key,
        )

    def queueing_options(self) -> QueueingOptions:
        """When the run begins, as far as the request says it."""
        return QueueingOptions(
            on_busy=self.on_busy,
            priority=self.priority,
            delay_seconds=self.delay_seconds,
            timeout_seconds=self.timeout_seconds,
        )

    def _media(self) -> dict[str, list[dict[str, Any]]]:
        """Uploads and items of lists, by the names of the fields that have any."""
        media: dict[str, list[dict[str, Any]]] = {}
        for name in MEDIA_NAMES:
            listed = [item.as_json() for item in getattr(self, name) or ()]
            if items := [*self._uploads.get(name, ()), *listed]:
                media[name] = items
        return media


def _require_json(value: Any) -> Any:
    if (problem := json_problem(value)) is not None:
        raise PydanticCustomError(*problem)
    return value


class StartWorkflowForm(StartForm):
    """A request to start a run of a workflow. Further fields are the arguments of a function that is the workflow."""

    model_config = ConfigDict(extra="allow")
    restricting: ClassVar[Mapping[str, Sequence[str]]] = {}
    """None: a function may have any argument."""
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_require_json)]]

    additional_data: OptionalJsonObject = Field(
        None, description="Values that the steps' functions get in addition to the message."
    )

    def run_input(self) -> Input:
        """The part of the request that is stored with the run."""
        run_input = super().run_input()
        if self.additional_data:
            run_input.options["additional_data"] = self.additional_data
        if self.model_extra:
            run_input.options["arguments"] = dict(self.model_extra)
        return run_input


def _list_of_objects(description: str) -> Mapping[str, Any]:
    return {"type": "array", "items": {"type": "object", "additionalProperties": True}, "description": description}


class ContinueForm(Form):
    """A request to continue a run: decisions about a paused one, or nothing to go on from a failed one."""

    is_required: ClassVar[bool] = False

    requirements: Annotated[
        Any,
        WithJsonSchema(
            _list_of_objects(
                "The run's requirements, each with `confirmation`, `user_input_schema` or `external_execution_result`."
            )
        ),
    ] = None
    tools: Annotated[
        Any,
        WithJsonSchema(
            _list_of_objects(
                "The run's tools, each with `confirmed`, `confirmation_note`, `user_input_schema` or `result`."
            )
        ),
    ] = None
    step_requirements: Annotated[
        Any,
        WithJsonSchema(
            _list_of_objects(
                "The step_requirements of a workflow's run, each with `confirmed`, `user_input` or `selected_choices`."
            )
        ),
    ] = None
    error_requirements: Annotated[
        Any,
        WithJsonSchema(
            _list_of_objects("The error_requirements of a workflow's run, each with `decision`: `retry` or `skip`.")
        ),
    ] = None
    session_id: Identifier | None = Field(None, description="The run's session.")
    user_id: Unread = Field(None, description="Accepted; without effect.")
    stream: bool = Field(True, description="Answer with events.")
    background: bool = Field(False, description="Answer at once with 202.")
    budget: Budget = Field(None, description="The budget of the new run, if one is started.")
    from_step: Text | None = Field(
        None,
        description="The path of a step of a finished run. A new run takes over what happened before the step's turn "
        "of the root run, and goes on from there.",
    )

    @property
    def answer_mode(self) -> AnswerMode:
        """How to answer. ``background`` has precedence over ``stream``."""
        if self.background:
            return "receipt"
        return "stream" if self.stream else "output"

    def require_session_id(self) -> str | None:
        """The run's session. None: any, if the run is named alone.

        :raises BadRequest: it is missing. AgentOS does not answer 422 here.
        """
        if self.session_id is None:
            raise BadRequest("session_id is required for this action")
        return self.session_id

    def decisions(self) -> list[Decision]:
        """The decisions about tool calls and steps.

        :raises BadRequest: a field is not JSON. AgentOS does not answer 422 here.
        :raises InvalidInput: a field is not a list of objects, or an object has no id.
        """
        lists = ("requirements", "tools", "step_requirements", "error_requirements")
        return parse_decisions({name: getattr(self, name) for name in lists})


class ContinueAnyForm(ContinueForm):
    """A request to continue a run that is named alone, so that its session need not be."""

    def require_session_id(self) -> str | None:
        """The run's session, if it is given."""
        return self.session_id
