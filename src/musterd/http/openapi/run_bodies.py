"""The bodies of requests that start a run or continue one, in each of the ways that they may be sent."""

from musterd.core.scheduling import OnBusy
from musterd.core.webhook_addresses import MAX_URL_LENGTH
from musterd.http.openapi.described import Schema, flag, free, many, number, text, whole
from musterd.wire.form import HISTORY_RUNS

_IDENTIFIER = {"maxLength": 255, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}

_PLAIN: dict[str, Schema] = {
    "message": text("What is asked; not empty.", minLength=1, title="Message", examples=["Hello"]),
    "stream": flag("Answer with events (`text/event-stream`) in place of the run's output.", default=True),
    "background": flag("Answer 202 at once; wins over `stream` where that is left out.", default=False),
    "session_id": text("The session to go on with; absent or empty: a new one.", **_IDENTIFIER),
    "user_id": text("The user that the run is for.", **_IDENTIFIER),
    "run_id": text(
        "An id of your own. The same request again answers with the same run; another request with this id is a 409. "
        "With a user's token, an id that is no UUID is this user's name for the run, which gets an id of its own.",
        **_IDENTIFIER,
    ),
    "stream_events": flag("Stream all events; false: only the text, members' events and the end.", default=True),
    "on_busy": text(
        "What the run does while another one of the session is at work: wait, be refused with 409, have that one "
        "cancelled and come next, or run beside it. Without it: as the team declares, else `enqueue`.",
        enum=[word.value for word in OnBusy],
    ),
    "priority": whole(
        "Among runs that wait for a free worker the higher come first; the order of a session stays.", default=0
    ),
    "delay_seconds": number("How long after its acceptance the run joins its session's line.", minimum=0),
    "timeout_seconds": number(
        "How long after its acceptance the run must have ended; else it ends in ERROR. More than `delay_seconds`.",
        exclusiveMinimum=0,
    ),
    "webhook_url": text(
        "Where the run's end, its pauses and its approvals are told, signed. Not into private networks.",
        format="uri",
        maxLength=MAX_URL_LENGTH,
    ),
    "add_history_to_context": flag("Whether the model is shown earlier runs of the session."),
    "num_history_runs": whole(
        "How many earlier runs; without it as the team declares.", minimum=0, maximum=HISTORY_RUNS
    ),
    "num_history_messages": whole(
        "How many messages of earlier runs, in place of `num_history_runs`.", minimum=0, maximum=HISTORY_RUNS
    ),
    "add_dependencies_to_context": flag("Whether the model is shown the dependencies."),
    "add_session_state_to_context": flag("Whether the model is shown the session's state."),
    "use_json_schema": flag("Whether `output_schema` is a JSON schema."),
    "monitor": flag("Accepted; without effect.", default=True),
    "debug_mode": flag("Accepted; without effect."),
    "version": whole("Accepted; without effect."),
}

_OBJECTS = {
    "session_state": "What the session's state begins with.",
    "dependencies": "What tools and instructions are given.",
    "metadata": "Kept with the run and shown in it.",
    "knowledge_filters": "Kept with the run.",
    "output_schema": "The JSON schema that the answer must have.",
    "budget": "Ceilings for the run with all its members: `tokens`, `cost_usd`, `seconds`, `tool_calls`, `depth`. "
    "Those that the team declares hold as well.",
}
_MEDIA = {
    "images": "Images",
    "audio": "Audio",
    "videos": "Videos",
}
_MEDIA_ITEM: Schema = {
    "type": "object",
    "properties": {
        "url": text("Where it is; the server never fetches it itself."),
        "content": text("The content in base64, in place of `url`; then `mime_type` is asked for."),
        "mime_type": text(examples=["image/png"]),
        "id": text(),
        "filename": text(),
    },
}
_MEDIA_WORDS = "a list of objects with `url`, or `content` (base64) and `mime_type`; `id` and `filename` if you like."
_UPLOADS = many(
    {"type": "string", "contentMediaType": "application/octet-stream"},
    "Uploads: png jpeg webp heic heif, wav mp3, flv mov mpeg mp4 webm wmv 3gpp, pdf csv docx xlsx pptx txt md json.",
)


def _json_text(description: str) -> Schema:
    return text(f"JSON text: {description}", contentMediaType="application/json")


def _form(uploads: Schema | None) -> dict[str, Schema]:
    objects = {name: _json_text(f"an object. {words}") for name, words in _OBJECTS.items()}
    media = {name: _json_text(f"{words}, {_MEDIA_WORDS}") for name, words in _MEDIA.items()}
    files = uploads or _json_text(f"Files, {_MEDIA_WORDS}")
    return {**_PLAIN, "files": files, **objects, **media}


def _json() -> dict[str, Schema]:
    objects = {name: free(words) for name, words in _OBJECTS.items()}
    media = {name: many(_MEDIA_ITEM, f"{words}.") for name, words in {**_MEDIA, "files": "Files"}.items()}
    return {**_PLAIN, **objects, **media}


def _content(properties: dict[str, Schema]) -> Schema:
    return {"schema": {"type": "object", "properties": properties, "required": ["message"]}}


def start_body() -> Schema:
    """The body of ``POST …/runs``."""
    return {
        "required": True,
        "content": {
            "multipart/form-data": _content(_form(_UPLOADS)),
            "application/x-www-form-urlencoded": _content(_form(None)),
            "application/json": _content(_json()),
        },
    }


_CONTINUED: dict[str, dict[str, Schema]] = {
    "team": {
        "requirements": text(
            "JSON list of the run's requirements, each with `confirmation`, "
            "`user_input_schema` or `external_execution_result`."
        ),
        "tools": text("JSON list of the run's tools, as agents' runs take them."),
        "session_id": text("The run's session."),
        "user_id": text("Not read by this version."),
        "stream": flag("Answer with events.", default=True),
        "background": flag("Answer at once with 202.", default=False),
        "budget": text("JSON object, of a failed run: what the new one may use."),
        **{
            name: text("Not read by this version.")
            for name in ("input", "additional_instructions", "continue_from", "fork", "regenerate", "replace_original")
        },
    },
    "agent": {
        "tools": text(
            "JSON list of the run's tools, each with `confirmed`, `confirmation_note`, `user_input_schema` or `result`."
        ),
        "requirements": text("JSON list of the run's requirements, as teams' runs take them."),
        "session_id": text("The run's session."),
        "user_id": text("Not read by this version."),
        "stream": flag("Answer with events.", default=True),
        "background": flag("Answer at once with 202.", default=False),
        "budget": text("JSON object, of a failed run: what the new one may use."),
    },
}


def continue_body(kind: str) -> Schema:
    """The body of ``POST …/continue``: what was decided, and how to answer."""
    form = {"schema": {"type": "object", "properties": _CONTINUED[kind]}}
    native = {name: many(free(), "As in a form, as a list.") for name in ("requirements", "tools")}
    native["budget"] = free("As in a form, as an object.")
    json_form = {"schema": {"type": "object", "properties": {**_CONTINUED[kind], **native}}}
    return {
        "content": {
            "application/x-www-form-urlencoded": form,
            "multipart/form-data": form,
            "application/json": json_form,
        }
    }
