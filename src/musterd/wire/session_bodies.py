"""The bodies of requests that make, change, name and delete sessions: a JSON object in, one value or one 422 out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from musterd.core.errors import BadRequest
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind
from musterd.wire.fields import Fields
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.problems import MISSING

NO_WORKFLOWS = "Workflows are not served here: type is agent or team"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSession:
    """A session that a client wants to be there before its first run.

    :param component_id: None where its first run is to say whose it is.
    :param name: may be empty; None: the first message is shown.
    """

    kind: ComponentKind
    session_id: str | None = None
    component_id: str | None = None
    user_id: str | None = None
    name: str | None = None
    state: JsonObject | None = None
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSession:
    """What a client changes in a session; None: it stays as it is.

    :param summary: as sessions keep it: summary, topics, as_of, run_id.
    """

    name: str | None = None
    state: JsonObject | None = None
    metadata: JsonObject | None = None
    summary: JsonObject | None = None


def parse_create_session(values: Mapping[str, Any], kind: str | None) -> CreateSession:
    """The body of ``POST /sessions``.

    :param kind: the ``type`` of the query; None: that of the id that is given, else agent.
    """
    fields = Fields(values)
    ids = {name: fields.identifier(f"{name}_id") for name in ("agent", "team", "workflow")}
    if kind == "workflow" or ids["workflow"] is not None:
        fields.problems.add("workflow_id", "not_supported", NO_WORKFLOWS)
    found: ComponentKind = "team" if kind == "team" or (kind is None and ids["team"] is not None) else "agent"
    other = "agent" if found == "team" else "team"
    if ids[other] is not None:
        fields.problems.add(
            f"{other}_id", "value_error", f"A session is of a team or of an agent: give {found}_id alone"
        )
    created = CreateSession(
        kind=found,
        session_id=fields.identifier("session_id"),
        component_id=ids[found],
        user_id=fields.identifier("user_id"),
        name=_name(fields),
        state=fields.json_object("session_state"),
        metadata=fields.json_object("metadata"),
    )
    fields.problems.raise_if_any()
    return created


def parse_update_session(values: Mapping[str, Any], now: float) -> UpdateSession:
    """The body of ``PATCH /sessions/{id}``.

    :param now: when a summary without a time of its own was made.
    """
    fields = Fields(values)
    update = UpdateSession(
        name=_name(fields),
        state=fields.json_object("session_state"),
        metadata=fields.json_object("metadata"),
        summary=_summary(fields, now),
    )
    fields.problems.raise_if_any()
    return update


def parse_rename_session(values: Mapping[str, Any]) -> str:
    """The body of ``POST /sessions/{id}/rename``: the new name, which may be empty."""
    fields = Fields(values)
    name = _name(fields)
    if "session_name" not in values:
        fields.problems.add("session_name", *MISSING)
    elif values["session_name"] is None:
        fields.problems.add("session_name", "string_type", "Input should be a valid string")
    fields.problems.raise_if_any()
    return name or ""


def parse_delete_sessions(values: Mapping[str, Any]) -> list[str]:
    """The body of ``DELETE /sessions``: the ids.

    :raises BadRequest: there are not as many types as ids.
    """
    fields = Fields(values)
    found: dict[str, list[str]] = {}
    for name in ("session_ids", "session_types"):
        value = values.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            fields.problems.add(name, "list_type", "Input should be a list of texts")
        elif not value:
            fields.problems.add(name, "too_short", "List should have at least 1 item after validation, not 0")
        elif len(value) > PAGE_LIMIT:
            message = f"List should have at most {PAGE_LIMIT} items after validation, not {len(value)}"
            fields.problems.add(name, "too_long", message)
        else:
            found[name] = value
    fields.problems.raise_if_any()
    if len(found["session_ids"]) != len(found["session_types"]):
        raise BadRequest("Session IDs and session types must have the same length")
    return found["session_ids"]


def _name(fields: Fields) -> str | None:
    """The name that is given, an empty one too."""
    return "" if fields.values.get("session_name") == "" else fields.text("session_name")


def _summary(fields: Fields, now: float) -> JsonObject | None:
    """A summary that a person writes: what ended until then is in it. Times to come read as now."""
    given = fields.json_object("summary")
    if given is None:
        return None
    text, topics = given.get("summary"), given.get("topics")
    if not isinstance(text, str):
        fields.problems.add(("summary", "summary"), "string_type", "Input should be a valid string")
    if topics is not None and not (isinstance(topics, list) and all(isinstance(topic, str) for topic in topics)):
        fields.problems.add(("summary", "topics"), "list_type", "Input should be a list of texts")
    as_of = min(_time(fields, given.get("updated_at"), now), now)
    return {"summary": text, "topics": topics or [], "as_of": as_of, "run_id": ""}


def _time(fields: Fields, given: Any, now: float) -> float:
    if given is None:
        return now
    try:
        found = datetime.fromisoformat(given)
        at = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        at = -1.0
    if at < 0:  # of the first years some could not be shown
        fields.problems.add(
            ("summary", "updated_at"), "datetime_parsing", "Input should be a valid datetime, from 1970 on", given
        )
    return at
