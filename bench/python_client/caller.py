"""A program that calls a server with one client. It prints the CPU that the calls took and their number, as JSON.

Run as ``python caller.py CLIENT URL SESSION RUN poll|stream MESSAGE COUNT``. It imports nothing of the benchmark,
because AgentOSClient runs in the environment of the peer.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Callable

TEAM = "demo-team"
Call = Callable[[str], int]
"""Makes one call with a message; returns how many answers or events came."""


def httpx2_calls(url: str, _session_id: str, run_id: str) -> dict[str, Call]:
    import httpx2

    http = httpx2.Client(base_url=url)

    def poll(_message: str) -> int:
        run = http.get(f"/runs/{run_id}").raise_for_status().json()
        assert run["status"] == "COMPLETED"
        return 1

    def stream(message: str) -> int:
        form = {"message": message, "session_id": uuid.uuid4().hex, "stream": "true"}
        events = 0
        with http.stream("POST", f"/teams/{TEAM}/runs", data=form) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    json.loads(line[6:])
                    events += 1
        return events

    return {"poll": poll, "stream": stream}


def musterd_calls(url: str, _session_id: str, run_id: str) -> dict[str, Call]:
    from musterd import Client

    client = Client(url)

    def poll(_message: str) -> int:
        assert client.runs.get(run_id).status == "COMPLETED"
        return 1

    def stream(message: str) -> int:
        return sum(1 for _ in client.stream(client.start(TEAM, message)))

    return {"poll": poll, "stream": stream}


def agentos_calls(url: str, session_id: str, run_id: str) -> dict[str, Call]:
    from agno.client import AgentOSClient
    from agno.db.base import SessionType

    client, loop = AgentOSClient(base_url=url), asyncio.new_event_loop()

    def poll(_message: str) -> int:
        # Its only call that reads a run: of a session, by the id of the run.
        run = loop.run_until_complete(client.get_session_run(session_id, run_id, SessionType.TEAM))
        assert run.status == "COMPLETED"
        return 1

    async def events_of(message: str) -> int:
        return len([event async for event in client.run_team_stream(TEAM, message, session_id=uuid.uuid4().hex)])

    def stream(message: str) -> int:
        return loop.run_until_complete(events_of(message))

    return {"poll": poll, "stream": stream}


CLIENTS = {"httpx2": httpx2_calls, "musterd": musterd_calls, "agentos": agentos_calls}


def main() -> None:
    """Make one call, and then as many as the last argument says, whose CPU is counted."""
    client, url, session_id, run_id, work, message, count = sys.argv[1:]
    call = CLIENTS[client](url, session_id, run_id)[work]
    call(message)
    began, answers = time.process_time(), 0
    for _ in range(int(count)):
        answers += call(message)
    print(json.dumps({"cpu": time.process_time() - began, "answers": answers}))


if __name__ == "__main__":
    main()
