"""What AgentOS 2.5.6 answered, recorded, beside what is answered here: every difference has its reason, once.

``recorded.json`` holds requests with the form of their answers: status, type, words of an error, the path and the type
of each value, and of streams the order of events: runs of deltas as one, and no empty ones. Values are not compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from musterd.core import clock
from tests.compat.reasons import REASONS
from tests.support.http import read_stream

RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
FREE = {"tool_args", "session_state", "parameters", "model_provider_data", "input", "metadata", "function"}
"""Objects that hold what users and providers put there."""


def form_of(value: Any, at: str = "") -> dict[str, str]:
    """The path of each value with its type; items of a list as one."""
    if isinstance(value, dict):
        if at != "input" and at.rsplit(".", 1)[-1].rstrip("[]") in FREE:
            return {at: "object"}
        parts = [form_of(item, f"{at}.{name}" if at else name) for name, item in value.items()]
        return {path: kind for part in parts for path, kind in part.items()} or {at: "object"}
    if isinstance(value, list):
        merged: dict[str, str] = {} if value else {f"{at}[]": "nothing"}
        for item in value:
            for path, kind in form_of(item, f"{at}[]").items():
                if merged.get(path, "null") == "null":
                    merged[path] = kind
        return merged
    kinds = {bool: "bool", int: "number", float: "number", str: "text", type(None): "null"}
    return {at: kinds[type(value)]}


def between(recorded: dict[str, str], ours: dict[str, str]) -> Iterator[str]:
    """How two forms differ; a value that is not there is as one that is null."""
    for path in {**recorded, **ours}:
        theirs, here = recorded.get(path), ours.get(path)
        if theirs == here or {theirs, here} == {None, "null"}:
            continue
        if theirs in (None, "null"):
            yield f"+ {path}"
        elif here in (None, "null"):
            yield f"- {path}"
        else:
            yield f"{path}: {theirs}, here {here}"


def order_of(events: list[dict[str, Any]]) -> list[str]:
    """The events' names, runs of deltas as one."""
    names: list[str] = []
    for event in events:
        if not (names and names[-1] == event["event"] and event["event"].endswith("RunContent")):
            names.append(event["event"])
    return names


def is_same_order(exchange: dict[str, Any], events: list[dict[str, Any]]) -> bool:
    """Whether the events come as recorded; whose come first of members side by side is chance."""
    if exchange.get("side_by_side"):
        names = [name for name in exchange["order"] if not name.endswith("RunContent")]
        return sorted(names) == sorted(name for name in order_of(events) if not name.endswith("RunContent"))
    return bool(order_of(events) == exchange["order"])


def response_to(http: httpx2.Client, exchange: dict[str, Any], session_id: str) -> httpx2.Response:
    """Our answer to the recorded request, in that session, after the runs that it needs."""
    run_id = ""
    for form in exchange.get("given", ()):
        team = exchange["path"].split("/")[2] if exchange["path"].startswith("/teams/hitl") else "demo-team"
        run_id = http.post(f"/teams/{team}/runs", data={**form, "session_id": session_id}).json()["run_id"]
    path = exchange["path"].replace("{session}", session_id).replace("{run}", run_id)
    request: dict[str, Any] = {"headers": exchange.get("headers")}
    if "form" in exchange:
        request["data"] = {**exchange["form"], "session_id": session_id}
    if "json" in exchange:
        request["json"] = json.loads(json.dumps(exchange["json"]).replace("{session}", session_id))
    if "file" in exchange:
        name, mime_type = exchange["file"]
        request["files"] = {"files": (name, b"\0\1\2", mime_type)}
    return http.request(exchange["method"], path, **request)


def differences(http: httpx2.Client, exchange: dict[str, Any]) -> Iterator[str]:
    """How our answer differs from the recorded one."""
    session_id = clock.new_id()
    answer = response_to(http, exchange, session_id)
    if answer.status_code != exchange["status"]:
        yield f"status {exchange['status']}, here {answer.status_code}"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind != exchange["type"]:
        yield f"type {exchange['type']!r}, here {kind!r}"
    elif kind == "text/event-stream":
        events = read_stream(answer.text)
        if not is_same_order(exchange, events):
            yield f"order {' '.join(exchange['order'])}, here {' '.join(order_of(events))}"
        for name, form in exchange["events"].items():
            forms = [form_of(event) for event in events if event["event"] == name]
            ours = {path: kind for form in reversed(forms) for path, kind in form.items() if kind != "null"}
            if forms:
                yield from (f"{name} {line}" for line in between(form, ours))
    elif answer.content:
        body = answer.json()
        yield from between(exchange.get("shape", {}), form_of(body))
        if "detail" in exchange and (words := exchange["detail"].format(session=session_id)) != body.get("detail"):
            yield f"detail {words!r}, here {body.get('detail')!r}"


def test_every_difference_has_a_reason_and_every_reason_a_difference(
    http: httpx2.Client, keyed_http: httpx2.Client, served: set[str]
) -> None:
    left, unexplained = dict(REASONS), []
    for exchange in RECORDED:
        if exchange.get("needs", "GET /teams") not in served:
            continue
        client = keyed_http if exchange.get("keyed") else http
        for line in differences(client, exchange):
            difference = f"{exchange['name']}: {line}"
            reasons = [pattern for pattern in REASONS if re.search(pattern, difference)]
            for pattern in reasons:
                left.pop(pattern, None)
            if not reasons:
                unexplained.append(difference)
    assert unexplained == []
    assert left == {}, "these differences are gone"
