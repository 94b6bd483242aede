"""The TypeScript client while a server is killed again and again: its waits and streams go on."""

from tests.support.process import PATIENCE_SECONDS, Deployment
from tests.support.typescript import typescript_client

KILLS = 10
GATES = [f"gate{number}" for number in range(KILLS)]


def test_streams_and_waits_go_on_over_ten_kills(site: Deployment) -> None:
    """Each kill comes right after a tool's result was read, so that the run has a new step each time."""
    server = site.serve()
    url, port = str(server.http.base_url), str(server.http.base_url.port)
    message = " ".join(f'[[TOOL wait {{"name": "{gate}"}}]]' for gate in GATES)
    with typescript_client(url, retrySeconds=PATIENCE_SECONDS) as client:
        run = client.ask("start", "solo", message, {"kind": "agent"})
        stream, wait = client.begin("stream", run), client.begin("wait", run)
        for gate in GATES:
            site.release(gate)
            while stream.until("ToolCallCompleted")["tool"]["result"] != f"waited {gate}":
                pass
            server.kill()
            server = site.begin("serve", "--port", port).started()
        events, run_at_end = stream.result(), wait.result()
        stored = client.ask("runs.events", run)["events"]
    assert run_at_end["content"] == f"Done: {' | '.join(f'waited {gate}' for gate in GATES)}"
    assert [event["event"] for event in events].count("RunContinued") >= KILLS - 1
    assert len(events) == len(stored)
    assert events == stored, "none is lost, none comes twice"
