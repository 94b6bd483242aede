"""A run of many events, as the server would answer for it: too long to be made by a test."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

START = 1_795_740_000.0
MEMBERS = 40
EVENTS_A_ROUND = 5


class LongRun:
    """A completed run whose members take turns of a model call and a tool call.

    :param idle_seconds: after half of the turns, for so long nobody works.
    """

    def __init__(self, event_count: int, idle_seconds: float = 0) -> None:
        self.steps: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._random = random.Random(4417)  # noqa: S311
        self._clocks = [self._random.random() * 4 for _ in range(MEMBERS)]
        turns = event_count // EVENTS_A_ROUND
        for number in range(turns):
            if number == turns // 2:
                self._clocks = [clock + idle_seconds for clock in self._clocks]
            self._turn(number % MEMBERS, number // MEMBERS)
        self._end = max(self._clocks)
        self._event("TeamRunCompleted", "long", self._end, content="Done.", nested_depth=0)

    def serve(self, page: Page) -> None:
        """Answer the page's requests for the run ``long``."""
        page.route("**/runs/long?*", lambda route: _answer(route, self.run()))
        page.route("**/runs/long/steps?*", self._answer_steps)
        page.route("**/runs/long/events*", self._answer_events)
        page.route("**/approvals?*run_id=long*", lambda route: _answer(route, {"data": [], "meta": {"total_count": 0}}))

    def run(self) -> dict[str, Any]:
        """The answer of ``GET /runs/long``."""
        attempt = {"attempt": 1, "worker_id": "w1", "started_at": START, "ended_at": START + self._end}
        return {
            "run_id": "long",
            "root_run_id": "long",
            "path": "",
            "team_id": "support-desk",
            "team_name": "Support desk",
            "session_id": "s1",
            "input": {"input_content": "A long run"},
            "content": "Done.",
            "content_type": "str",
            "created_at": int(START),
            "started_at": START,
            "ended_at": START + self._end,
            "status": "COMPLETED",
            "attempts": 1,
            "totals": None,
            "activity": None,
            "waiting": 0,
            "runs_behind": 0,
            "forks": [],
            "attempt_list": [{**attempt, "outcome": "ended"}],
            "members": [self._member(number) for number in range(MEMBERS)],
        }

    def _member(self, number: int) -> dict[str, Any]:
        return {
            "run_id": f"m{number}",
            "parent_run_id": "long",
            "path": f"t0/c{number}",
            "component_kind": "agent",
            "component_id": f"m{number}",
            "name": f"Member {number}",
            "model": "scripted",
            "status": "COMPLETED",
            "task": "Go on",
            "started_at": START,
            "ended_at": START + self._clocks[number],
            "outcome": "done",
        }

    def _turn(self, member: int, turn: int) -> None:
        run_id, path, at = f"m{member}", f"t0/c{member}/t{turn:04}", self._clocks[member]
        seconds, tool_seconds = 0.2 + self._random.random() * 1.5, 0.05 + self._random.random() * 0.8
        state = "failed" if self._random.random() < 0.01 else "completed"
        self._step(f"{path}/m", "model", "scripted", run_id, at, seconds, "completed")
        self._step(f"{path}/c0", "tool", "lookup", run_id, at + seconds, tool_seconds, state)
        call: dict[str, Any] = {"tool_call_id": f"call {path}/c0", "tool_name": "lookup", "tool_args": {"turn": turn}}
        call |= {"tool_call_error": state == "failed", "result": "{}", "metrics": None, "child_run_id": None}
        self._event("ModelRequestStarted", run_id, at, model="scripted")
        self._event("RunContent", run_id, at + seconds / 2, content=f"Turn {turn} of member {member}. ")
        self._event("ModelRequestCompleted", run_id, at + seconds, model="scripted")
        self._event("ToolCallStarted", run_id, at + seconds, tool={**call, "result": None})
        self._event("ToolCallCompleted", run_id, at + seconds + tool_seconds, tool=call)
        self._clocks[member] = at + seconds + tool_seconds + self._random.random() * 0.3

    def _step(self, path: str, kind: str, name: str, run_id: str, at: float, seconds: float, state: str) -> None:
        started_at, ended_at = START + at, START + at + seconds
        attempt = {"attempt": 1, "started_at": started_at, "ended_at": ended_at, "outcome": state}
        self.steps.append(
            {
                "path": path,
                "kind": kind,
                "state": state,
                "attempt": 1,
                "started_at": started_at,
                "ended_at": ended_at,
                "usage": None,
                "cost": 0.0001 if kind == "model" else None,
                "name": name,
                "run_id": run_id,
                "parent_path": path.rpartition("/t")[0],
                "tool_call_id": f"call {path}" if kind == "tool" else None,
                "child_run_ids": [],
                "approval_id": None,
                "error": None,
                "tries": 1 if kind == "model" else 0,
                "attempts": [attempt],
                "first_token_seconds": seconds / 2 if kind == "model" else None,
                "retries": [],
                "settled": None,
            }
        )

    def _event(self, name: str, run_id: str, at: float, **own: Any) -> None:
        head = {"event": name, "run_id": run_id, "parent_run_id": "long", "session_id": "s1", "nested_depth": 1}
        head |= {"agent_id": run_id, "agent_name": run_id, "created_at": int(START + at), "at": START + at}
        self.events.append({**head, **own, "event_index": len(self.events)})

    def _answer_steps(self, route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        after = query.get("after_path", [None])[0]
        first = next((i + 1 for i, step in enumerate(self.steps) if step["path"] == after), 0)
        _answer(route, self.steps[first : first + int(query["limit"][0])])

    def _answer_events(self, route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        after = int(route.request.headers.get("last-event-id") or query.get("after", ["-1"])[0])
        events = self.events[after + 1 :]
        if "text/event-stream" in route.request.headers["accept"]:
            frames = (f"event: {e['event']}\nid: {e['event_index']}\ndata: {json.dumps(e)}\n\n" for e in events)
            route.fulfill(body="".join(frames), content_type="text/event-stream")
        else:
            page = events[: int(query["limit"][0])]
            last = page[-1]["event_index"] if page else len(self.events) - 1
            _answer(route, {"events": page, "last_event_index": last, "has_more": len(page) < len(events)})


def _answer(route: Route, value: object) -> None:
    route.fulfill(body=json.dumps(value), content_type="application/json")
