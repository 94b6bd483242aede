"""Databases with the tables and rows of AgentOS 2.5.6."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = 1_790_000_000
"""The start of a session; its runs start ten seconds apart."""
PROCESS_START = BEGIN - 86_400
"""The time that AgentOS stores for all runs of agents."""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_SESSIONS = """
CREATE TABLE {schema}agno_sessions (
    session_id VARCHAR NOT NULL, session_type VARCHAR NOT NULL, agent_id VARCHAR, team_id VARCHAR,
    workflow_id VARCHAR, user_id VARCHAR, session_data {json}, agent_data {json}, team_data {json},
    workflow_data {json}, metadata {json}, runs {json}, summary {json}, created_at BIGINT NOT NULL,
    updated_at BIGINT, PRIMARY KEY (session_id))"""
_MEMORIES = """
CREATE TABLE {schema}agno_memories (
    memory_id VARCHAR NOT NULL, memory {json} NOT NULL, input VARCHAR, agent_id VARCHAR, team_id VARCHAR,
    user_id VARCHAR, topics {json}, feedback VARCHAR, created_at BIGINT NOT NULL, updated_at BIGINT,
    PRIMARY KEY (memory_id))"""
_APPROVALS = """
CREATE TABLE {schema}agno_approvals (
    id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, session_id VARCHAR NOT NULL, status VARCHAR NOT NULL,
    source_type VARCHAR NOT NULL, approval_type VARCHAR, pause_type VARCHAR NOT NULL, tool_name VARCHAR,
    tool_args {json}, expires_at BIGINT, agent_id VARCHAR, team_id VARCHAR, workflow_id VARCHAR, user_id VARCHAR,
    schedule_id VARCHAR, schedule_run_id VARCHAR, source_name VARCHAR, requirements {json}, context {json},
    resolution_data {json}, resolved_by VARCHAR, resolved_at BIGINT, created_at BIGINT NOT NULL,
    updated_at BIGINT, run_status VARCHAR, PRIMARY KEY (id))"""
_KNOWLEDGE = "CREATE TABLE {schema}agno_knowledge (id VARCHAR NOT NULL, name VARCHAR NOT NULL, PRIMARY KEY (id))"
_ENCODED = frozenset({"session_data", "agent_data", "team_data", "workflow_data", "metadata", "runs", "summary"})
_JSON = _ENCODED | {"memory", "topics", "tool_args", "requirements", "context", "resolution_data"}


class AgentOSTables:
    """The tables of an AgentOS in a database: a SQLite file, or the schema ``ai`` of a Postgres database."""

    def __init__(self, url: str) -> None:
        self.is_postgres = url.startswith("postgresql:")
        self.url = url.replace("postgresql:", "postgresql+psycopg:")
        self.schema = "ai." if self.is_postgres else ""
        self._engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        if self.is_postgres:
            self.execute("CREATE SCHEMA ai")
        for statement in (_SESSIONS, _MEMORIES, _APPROVALS, _KNOWLEDGE):
            self.execute(statement)

    @classmethod
    def in_file(cls, file: Path) -> AgentOSTables:
        """Create the tables in a new SQLite file."""
        return cls(f"sqlite:///{file}")

    @classmethod
    def beside(cls, target_url: str, folder: Path) -> AgentOSTables:
        """Create the tables in a database of the same kind as musterd's; on Postgres, in the same database."""
        return cls(target_url) if target_url.startswith("postgresql:") else cls.in_file(folder / "agno.db")

    def execute(self, text: str, **params: Any) -> None:
        """Execute a statement. ``{schema}`` in it stands for the schema of the tables, ``{json}`` for the JSON type."""
        text = text.replace("{schema}", self.schema).replace("{json}", "JSONB" if self.is_postgres else "TEXT")
        with self._engine.begin() as connection:
            connection.execute(sa.text(text), params)

    def add(self, table: str, **values: Any) -> None:
        """Add a row, encoded as AgentOS encodes it."""
        columns = ", ".join(values)
        places = ", ".join(self._place(name) for name in values)
        encoded = {name: self._encoded(name, value) for name, value in values.items()}
        self.execute(f"INSERT INTO {{schema}}{table} ({columns}) VALUES ({places})", **encoded)  # noqa: S608 - names

    def _place(self, name: str) -> str:
        return f"CAST(:{name} AS JSONB)" if self.is_postgres and name in _JSON else f":{name}"

    def _encoded(self, name: str, value: Any) -> Any:
        if name in _ENCODED and value is not None and not self.is_postgres:
            value = json.dumps(value)  # in SQLite, AgentOS stores these as a JSON text of JSON text
        return json.dumps(value) if name in _JSON else value

    def add_session(self, session_id: str, kind: str, runs: list[dict[str, Any]] | None, **values: Any) -> None:
        """Add a session of the runs' component."""
        first = runs[0] if runs else {}
        row = {
            f"{kind}_id": first.get(f"{kind}_id", "weather-agent"),
            "session_data": {"session_state": {}, "session_metrics": {}},
            "user_id": "ann",
            "metadata": None,
            "summary": None,
            "created_at": BEGIN,
            "updated_at": BEGIN + 100,
            **values,
        }
        self.add("agno_sessions", session_id=session_id, session_type=kind, runs=runs, **row)

    def add_memory(self, memory_id: str, memory: str, **values: Any) -> None:
        """Add a memory about ann."""
        row = {"user_id": "ann", "topics": ["food"], "created_at": BEGIN, "updated_at": BEGIN + 5, **values}
        self.add("agno_memories", memory_id=memory_id, memory=memory, **row)

    def add_approval(self, approval_id: str, run_id: str, status: str, **values: Any) -> None:
        """Add an approval of a refund."""
        row = {
            "session_id": "s1",
            "source_type": "agent",
            "approval_type": "required",
            "pause_type": "confirmation",
            "tool_name": "refund",
            "tool_args": {"amount": 4},
            "agent_id": "weather-agent",
            "user_id": "ann",
            "requirements": [{"id": "q1", "tool_execution": tool("refund", {"amount": 4}, requires_confirmation=True)}],
            "created_at": BEGIN + 1,
            **values,
        }
        self.add("agno_approvals", id=approval_id, run_id=run_id, status=status, **row)


def tool(name: str, args: dict[str, Any], result: str | None = None, **values: Any) -> dict[str, Any]:
    """A tool call of a run."""
    is_made = result is not None
    flags = ("requires_confirmation", "confirmed", "confirmation_note", "requires_user_input", "answered")
    return {
        "tool_call_id": f"call-{name}",
        "tool_name": name,
        "tool_args": args,
        "tool_call_error": False if is_made else None,
        "result": result,
        "metrics": {"start_time": BEGIN + 1.5, "end_time": BEGIN + 1.75, "duration": 0.25} if is_made else None,
        "child_run_id": None,
        "stop_after_tool_call": False,
        "created_at": BEGIN + 1,
        **dict.fromkeys(flags),
        "user_input_schema": [],
        "user_feedback_schema": [],
        "external_execution_required": None,
        "external_execution_silent": None,
        "approval_type": None,
        "approval_id": None,
        **values,
    }


def _message(role: str, content: str | None, at: int, **values: Any) -> dict[str, Any]:
    content_item = {} if content is None else {"content": content}
    return {"id": f"m-{at}", **content_item, "from_history": False, "role": role, "created_at": at, **values}


def run(
    kind: str, run_id: str, message: str, answer: str, tools: tuple[dict[str, Any], ...] = (), **values: Any
) -> dict[str, Any]:
    """A run of an agent or a team, with its conversation."""
    component = {"agent": ("weather-agent", "Weather Agent"), "team": ("desk", "Desk")}[kind]
    number = int("".join(filter(str.isdigit, run_id)) or 0)
    at = BEGIN + 10 * number
    metrics = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
    messages = [_message("system", "You are helpful.", at), _message("user", message, at)]
    if tools:
        calls = [
            {
                "id": call["tool_call_id"],
                "type": "function",
                "function": {"name": call["tool_name"], "arguments": json.dumps(call["tool_args"])},
            }
            for call in tools
        ]
        messages.append(_message("assistant", None, at + 1, tool_calls=calls, metrics=metrics))
        for call in tools:
            names = {"tool_call_id": call["tool_call_id"], "tool_name": call["tool_name"]}
            if call["result"] is not None:
                messages.append(_message("tool", call["result"], at + 1, tool_call_error=False, **names))
    messages.append(_message("assistant", answer, at + 2, metrics=metrics))
    return {
        "run_id": run_id,
        f"{kind}_id": component[0],
        f"{kind}_name": component[1],
        "session_id": "s1",
        "user_id": "ann",
        "content": answer,
        "content_type": "str",
        "model": "gpt-5-mini",
        "model_provider": "OpenAI",
        "session_state": {"current_run_id": run_id},
        "created_at": PROCESS_START if kind == "agent" else at,
        "status": "COMPLETED",
        "metrics": {
            **metrics,
            "duration": 2.5,
            "time_to_first_token": 0.5,
            "details": {"model": [{**metrics, "id": "gpt-5-mini", "provider": "OpenAI"}]},
        },
        "events": [],
        "messages": messages,
        "tools": list(tools),
        "input": {"input_content": message},
        **values,
    }


def workflow_run(run_id: str, step_run: dict[str, Any]) -> dict[str, Any]:
    """A run of a workflow whose one step ran an agent."""
    step = {
        "content": step_run["content"],
        "step_name": "write",
        "step_id": "step-1",
        "step_type": "Step",
        "executor_type": "agent",
        "executor_name": "Weather Agent",
        "step_run_id": step_run["run_id"],
        "metrics": step_run["metrics"],
        "success": True,
    }
    return {
        "input": "Write",
        "content": step_run["content"],
        "content_type": "str",
        "workflow_id": "flow",
        "workflow_name": "Flow",
        "run_id": run_id,
        "session_id": "w1",
        "user_id": "ann",
        "created_at": BEGIN,
        "status": "COMPLETED",
        "step_results": [step],
        "step_executor_runs": [{**step_run, "parent_run_id": run_id, "workflow_step_id": "step-1"}],
        "metrics": {"steps": {}, "duration": 3.0},
    }
