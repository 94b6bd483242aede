"""Simulates agent-ui, a common web client of AgentOS. It is not published on npm, so its behavior is reproduced here.

It does not parse server-sent events. It scans the received text for balanced braces, taking strings into account,
appends each delta without the part that it appended last, and replaces the text with that of the event that ends a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

ON_EVERY_GET = {"Content-Type": "application/json"}
DELTAS = ("RunContent", "TeamRunContent")
ENDS = ("RunCompleted", "TeamRunCompleted")
FAILURES = ("RunError", "TeamRunError", "TeamRunCancelled")
TOOLS = ("ToolCallStarted", "ToolCallCompleted", "TeamToolCallStarted", "TeamToolCallCompleted")


class Scanner:
    """Takes pieces of a stream as they come and gives the objects that are whole."""

    def __init__(self) -> None:
        self._left = ""

    def feed(self, piece: str) -> Iterator[dict[str, Any]]:
        """The objects that this piece completes; text that is no JSON is passed over."""
        self._left += piece
        while (start := self._left.find("{")) >= 0:
            end = _end_of(self._left, start)
            if end is None:
                return
            yield json.loads(self._left[start : end + 1])
            self._left = self._left[end + 1 :].strip()


def _end_of(text: str, start: int) -> int | None:
    """Where the brace at `start` closes."""
    depth, is_string, is_escaped = 0, False, False
    for place in range(start, len(text)):
        character = text[place]
        if is_string:
            is_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_string = True
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return place
    return None


@dataclass
class Bubble:
    """One message on the page."""

    role: str
    content: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    is_failed: bool = False


class AgentUi:
    """The page, with one team or agent chosen."""

    def __init__(self, http: httpx2.Client, mode: str = "team", chosen: str = "demo-team") -> None:
        self._http = http
        self.mode = mode
        self.chosen = chosen
        self.db_id = ""
        self.session_id: str | None = None
        self.bubbles: list[Bubble] = []
        self.sessions: list[dict[str, Any]] = []
        self.error = ""
        self._is_new_session = False

    def _get(self, path: str, **query: str) -> Any:
        answer = self._http.get(path, params=query, headers=ON_EVERY_GET)
        answer.raise_for_status()
        return answer.json()

    def open(self) -> list[str]:
        """Load the page: is the server there, what can be chosen? The one that is chosen brings its database."""
        assert self._http.get("/health", headers=ON_EVERY_GET).status_code == 200
        components = self._get(f"/{self.mode}s")
        assert isinstance(components, list), "anything else is shown as no team at all"
        (chosen,) = [item for item in components if item["id"] == self.chosen]
        assert chosen["model"]["provider"], "shown beside the name"
        self.db_id = chosen["db_id"] or ""
        assert self.db_id, "without one no session is ever asked for"
        return [item["id"] for item in components]

    def list_sessions(self) -> list[dict[str, Any]]:
        """Fill the list at the side."""
        query = {"type": self.mode, "component_id": self.chosen, "db_id": self.db_id}
        self.sessions = self._get("/sessions", **query)["data"]
        return self.sessions

    def send(self, message: str) -> None:
        """Send a message and show what comes."""
        self.error = ""
        self.bubbles += [Bubble("user", message), Bubble("agent")]
        form = {"message": (None, message), "stream": (None, "true"), "session_id": (None, self.session_id or "")}
        with self._http.stream("POST", f"/{self.mode}s/{self.chosen}/runs", files=form) as answer:
            answer.raise_for_status()
            scanner, last = Scanner(), ""
            for piece in answer.iter_text():
                for event in scanner.feed(piece):
                    last = self._show(event, last)
        self._is_new_session = False

    def _show(self, event: dict[str, Any], last: str) -> str:
        """Show one event; what was appended last.

        The page loads a session as soon as it learns a new id, while the stream goes on. Its request takes a while:
        the worst moment is after a member's start, so it is sent then.
        """
        bubble, name, content = self.bubbles[-1], event["event"], event.get("content")
        if name in ("RunStarted", "TeamRunStarted"):
            self._is_new_session = self._is_new_session or self.session_id != event["session_id"]
            self.session_id = event["session_id"]
            if self._is_new_session and event.get("parent_run_id"):
                self._is_new_session = False
                self.load(self.session_id)
        elif name in TOOLS:
            _merge(bubble.tools, event["tool"])
        elif name in DELTAS and isinstance(content, str):
            bubble.content += content.replace(last, "", 1) if last else content
            return content
        elif name in ENDS:
            bubble.content = content if isinstance(content, str) else json.dumps(content)
        elif name in FAILURES:
            bubble.is_failed, self.error = True, content or "Run cancelled"
        return last

    def load(self, session_id: str) -> None:
        """Show a session of the list: each run is a turn, a member's too."""
        runs = self._get(f"/sessions/{session_id}/runs", type=self.mode, db_id=self.db_id)
        assert isinstance(runs, list), "anything else is shown as an empty chat"
        self.session_id, self.bubbles = session_id, []
        for run in runs:
            assert run["created_at"]
            answer = run["content"] if isinstance(run["content"], str) else json.dumps(run["content"])
            self.bubbles += [Bubble("user", run["run_input"]), Bubble("agent", answer, run.get("tools") or [])]

    def delete(self, session_id: str) -> None:
        """Delete a session of the list."""
        self._http.delete(f"/sessions/{session_id}", params={"db_id": self.db_id}).raise_for_status()


def _merge(tools: list[dict[str, Any]], tool: dict[str, Any]) -> None:
    """Show a call, or what is new of one that is shown."""
    for known in tools:
        if known["tool_call_id"] == tool["tool_call_id"]:
            known.update(tool)
            return
    tools.append(dict(tool))
