"""Every operation, asked by everybody: what each may, and what it learns of another's.

All of it comes from the table of operations: an operation that is added is asked here as well. Parameters of paths are
filled by their name, from what one user has made; one that nobody made anything for gets an id of nothing.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from musterd import Agent, Team, tool
from musterd.core.scopes import ADMIN
from musterd.http.auth.middleware import is_open
from musterd.http.operation import AUTHENTICATED, OPEN, Operation
from musterd.http.paths import SOCKET_PATH
from musterd.http.routes import operations
from tests.support.app import Sample, app_on, in_process
from tests.support.http import ServerClient, problem
from tests.support.tokens import Issuer, public_pem, rsa_key

AUDIENCE = "musterd-test"
SECRET_WORD = "xyzzy-4711"
NOBODYS = "nothing-has-this-id"
ISSUER = Issuer(claims={"aud": AUDIENCE})
ADMIN_BEARER = ISSUER.bearer("root", ADMIN)


@tool(requires_confirmation=True, approval="required")
def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


def shop() -> Sample:
    """One team and one agent, whose tool asks first."""
    agent = Agent(id="solo-agent", name="Solo Agent", tools=[pay], model="scripted")
    return Sample([Team(id="demo-team", name="Demo Team", members=[], tools=[pay], model="scripted")], [agent])


@dataclass
class Seed:
    """What one user has made, by the names of parameters."""

    ids: dict[str, str] = field(default_factory=dict)

    def path(self, operation: Operation, *, nobodys: bool = False) -> str:
        """The operation's path, filled with what the user has made, or with what nobody has.

        Teams and agents belong to no user: they are always there.
        """

        def value(match: re.Match[str]) -> str:
            name = match[1]
            is_served = name in ("team_id", "agent_id")
            if name == "run_id" and operation.path.startswith("/agents/"):
                name = "agent_run_id"
            return NOBODYS if nobodys and not is_served else self.ids.get(name, NOBODYS)

        path = re.sub(r"\{(\w+)\}", value, operation.path)
        session = NOBODYS if nobodys else self.ids["session_id"]
        if operation.path.startswith("/agents/") and not nobodys:
            session = self.ids["agent_session_id"]
        return f"{path}?session_id={session}"


def everything_but_admin(client: ServerClient) -> list[str]:
    """Every scope that some operation asks for, but the one that allows all."""
    scopes = {operation.scope for operation in operations(client.server)}
    return sorted(scope for scope in scopes if scope not in (OPEN, AUTHENTICATED, ADMIN))


async def seeded(client: ServerClient) -> Seed:
    """A session, runs, an approval, a memory and a service account of the user ada."""
    seed = Seed({"team_id": "demo-team", "agent_id": "solo-agent", "media_id": "0" * 64, "user_id": "ada"})
    own = ISSUER.bearer("ada", *everything_but_admin(client))
    form = {"stream": "false", "session_state": f'{{"word": "{SECRET_WORD}"}}'}
    for to, names in (("teams/demo-team", ("run_id", "session_id")), ("agents/solo-agent", ("agent_run_id", ""))):
        message = f'{SECRET_WORD} [[TOOL pay {{"n": 1}}]]'
        answer = (await client.post(message, to, headers=own, **form)).json()
        assert answer["status"] == "PAUSED", answer
        seed.ids[names[0]] = answer["run_id"]
        seed.ids[names[1] or "agent_session_id"] = answer["session_id"]
    seed.ids["trace_id"] = seed.ids["run_id"]
    waiting = (await client.http.get("/approvals", headers=own)).json()["data"]
    assert len(waiting) == 2
    seed.ids["approval_id"] = next(one["id"] for one in waiting if one["run_id"] == seed.ids["run_id"])
    account = await client.http.post("/service-accounts", json={"name": SECRET_WORD}, headers=ADMIN_BEARER)
    seed.ids["service_account_id"] = account.json()["id"]
    if any(one.method == "POST" and one.path == "/memories" for one in operations(client.server)):
        memory = await client.http.post("/memories", json={"memory": SECRET_WORD}, headers=own)
        seed.ids["memory_id"] = memory.json()["memory_id"]
    return seed


@pytest.fixture
async def client(database: Path) -> AsyncIterator[ServerClient]:
    """A server whose callers show tokens."""
    settings: dict[str, Any] = {
        "jwt_verification_key": public_pem(rsa_key()),
        "jwt_audience": AUDIENCE,
        "cancel_wait_seconds": 0,
    }
    app = app_on(database, served=shop(), auth_failures_per_minute=0, **settings)
    streams.app = app
    async with in_process(app, transport=httpx2.ASGITransport(streams)) as serving:
        yield serving


class Streams:
    """Passes requests on to the application, and notes when an answer begins that is a stream of events."""

    app: Starlette
    has_begun: asyncio.Event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_note(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            if is_start and Headers(scope=message).get("content-type", "").startswith("text/event-stream"):
                self.has_begun.set()
            await send(message)

        await self.app(scope, receive, send_and_note)


streams = Streams()


async def ask(
    client: ServerClient, method: str, path: str, headers: dict[str, str] | None = None
) -> httpx2.Response | None:
    """The answer, or None if it is a stream, which may have no end: whoever asked was let in."""
    streams.has_begun = asyncio.Event()
    asking = asyncio.ensure_future(client.http.request(method, path, headers=headers))
    streaming = asyncio.ensure_future(streams.has_begun.wait())
    await asyncio.wait([asking, streaming], return_when=asyncio.FIRST_COMPLETED)
    for task in (asking, streaming):
        task.cancel()
    await asyncio.wait([asking, streaming])
    return None if asking.cancelled() else asking.result()


def closed(client: ServerClient) -> Iterator[Operation]:
    """The operations that ask for a scope: those that look first, those that remove last."""
    order = {"GET": 0, "DELETE": 2}
    restricted = [operation for operation in operations(client.server) if operation.scope is not OPEN]
    return iter(sorted(restricted, key=lambda operation: order.get(operation.method, 1)))


def scoped(client: ServerClient) -> Iterator[Operation]:
    """Those of them for which a token is not enough."""
    return (operation for operation in closed(client) if operation.scope != AUTHENTICATED)


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def status_and_text(answer: httpx2.Response | None) -> tuple[int, str]:
    """What an answer tells: its status and its words."""
    return (0, "") if answer is None else (answer.status_code, answer.text)


# --- the table ----------------------------------------------------------------------------------------


def documented_scopes() -> set[str]:
    """The scopes that the page about authentication names."""
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "auth.md"
    return set(re.findall(r"`(\w+:\w+)`", page.read_text(encoding="utf-8")))


async def test_every_scope_is_documented(client: ServerClient) -> None:
    assert set(everything_but_admin(client)) <= documented_scopes()


async def test_every_route_stands_in_the_table_or_is_open(client: ServerClient) -> None:
    table = {(operation.method, operation.path) for operation in operations(client.server)}
    for route in client.app.routes:
        if isinstance(route, WebSocketRoute):
            assert route.path == SOCKET_PATH, "test_workflow_socket.py asks it"
            continue
        assert isinstance(route, Route), f"{route} is no route that can be asked"
        for method in route.methods or ():
            is_known = (method, route.path) in table or (method == "HEAD" and ("GET", route.path) in table)
            assert is_known or (method in ("GET", "HEAD") and is_open(route.path)), (method, route.path)


async def test_what_asks_for_no_scope_is_open_and_nothing_else_is(client: ServerClient) -> None:
    paths = (await client.get("/openapi.json"))["paths"]
    for operation in operations(client.server):
        assert (operation.scope is OPEN) == is_open(operation.path), name_of(operation)
        described = paths[operation.path][operation.method.lower()]
        assert (operation.scope is OPEN) == ("security" not in described), name_of(operation)
        assert operation.scope in (OPEN, AUTHENTICATED, ADMIN) or re.fullmatch(r"\w+:\w+", operation.scope or "")


# --- who is not let in --------------------------------------------------------------------------------

STRANGERS: dict[str, tuple[dict[str, str], str]] = {
    "no token": ({}, "Authorization header required"),
    "another scheme": ({"authorization": "Basic YTpi"}, "Authorization header required"),
    "a wrong key": ({"authorization": "Bearer nonsense"}, "Invalid authentication token"),
    "another's token": (Issuer(key=rsa_key(1), claims={"aud": AUDIENCE}).bearer("ada", ADMIN), "Invalid"),
    "an expired token": (ISSUER.bearer("ada", ADMIN, lives=-60), "Token has expired"),
    "another audience": (ISSUER.bearer("ada", ADMIN, aud="other"), "wrong aud"),
    "no audience": (ISSUER.bearer("ada", ADMIN, aud=None), "wrong aud"),
    "an unknown account": ({"authorization": "Bearer msa_" + "0" * 64}, "Invalid authentication token"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_stranger_is_let_in_nowhere(client: ServerClient, stranger: str) -> None:
    headers, words = STRANGERS[stranger]
    for operation in closed(client):
        answer = await ask(client, operation.method, Seed({"session_id": "s"}).path(operation, nobodys=True), headers)
        assert answer is not None, name_of(operation)
        assert words in problem(answer, 401, "UNAUTHENTICATED"), name_of(operation)
        assert answer.headers["www-authenticate"] == "Bearer"
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        problem(await client.http.request(method, "/nope", headers=headers), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_what_is_open_is_open_to_strangers(client: ServerClient, stranger: str) -> None:
    for operation in operations(client.server):
        if operation.scope is OPEN:
            answer = await ask(client, operation.method, operation.path, STRANGERS[stranger][0])
            assert status_and_text(answer)[0] not in (401, 403), name_of(operation)


# --- scopes -------------------------------------------------------------------------------------------


def enough(operation: Operation) -> set[str]:
    """The scopes of which one is enough."""
    scope = str(operation.scope)
    reads = operation.method == "GET" and scope.endswith(":run")
    scopes = {scope, "teams:run"} if operation.of_any_run else {scope}
    return scopes | {one.replace(":run", ":read") for one in scopes} if reads else scopes


async def test_without_scopes_nothing_is_allowed(client: ServerClient) -> None:
    seed = await seeded(client)
    for operation in scoped(client):
        answer = await ask(client, operation.method, seed.path(operation), ISSUER.bearer("ada"))
        assert answer is not None, name_of(operation)
        assert problem(answer, 403, "FORBIDDEN") == "Insufficient permissions", name_of(operation)
    problem(await client.http.get("/nope", headers=ISSUER.bearer("ada")), 404, "NOT_FOUND")


async def test_all_other_scopes_are_not_enough(client: ServerClient) -> None:
    seed, every = await seeded(client), everything_but_admin(client)
    for operation in scoped(client):
        lacking = enough(operation) | ({f"{str(operation.scope).split(':')[0]}:run"} if operation.lists else set())
        others = [*(scope for scope in every if scope not in lacking), "agent_os:*:admin", "*:*", "*"]
        answer = await ask(client, operation.method, seed.path(operation), ISSUER.bearer("ada", *others))
        assert answer is not None, name_of(operation)
        problem(answer, 403, "FORBIDDEN")


async def test_its_own_scope_is_enough(client: ServerClient) -> None:
    seed = await seeded(client)
    for operation in closed(client):
        for scope in enough(operation):
            answer = await ask(client, operation.method, seed.path(operation), ISSUER.bearer("ada", scope))
            assert status_and_text(answer)[0] not in (401, 403, 500), (name_of(operation), status_and_text(answer))


async def test_a_scope_may_be_limited_to_one_team_or_agent(client: ServerClient) -> None:
    seed = await seeded(client)
    for operation in closed(client):
        named = re.search(r"\{(team|agent)_id\}", operation.path)
        if named is None:
            continue
        resource, action = str(operation.scope).split(":")
        for limit, is_let_in in ((seed.ids[f"{named[1]}_id"], True), ("*", True), ("other", False), ("", False)):
            bearer = ISSUER.bearer("ada", f"{resource}:{limit}:{action}")
            status = status_and_text(await ask(client, operation.method, seed.path(operation), bearer))[0]
            assert (status != 403) == is_let_in, (name_of(operation), limit, status)


@pytest.mark.parametrize(
    "scopes, teams",
    [
        (["teams:read"], ["demo-team"]),
        (["teams:run"], ["demo-team"]),
        (["teams:demo-team:run"], ["demo-team"]),
        (["teams:demo-team:read"], ["demo-team"]),
        (["teams:*:read"], ["demo-team"]),
        (["teams:other:run"], []),
        ([ADMIN], ["demo-team"]),
    ],
)
async def test_lists_show_what_may_be_looked_at_or_run(
    client: ServerClient, scopes: list[str], teams: list[str]
) -> None:
    answer = await client.http.get("/teams", headers=ISSUER.bearer("ada", *scopes))
    assert [team["id"] for team in answer.json()] == teams


# --- other users --------------------------------------------------------------------------------------


async def test_another_users_things_are_not_there(client: ServerClient) -> None:
    """What is answered about them is what is answered about ids that nobody has."""
    seed = await seeded(client)
    everything = everything_but_admin(client)
    own, other = ISSUER.bearer("ada", *everything), ISSUER.bearer("eve", *everything)
    before = await state_of(client, seed, own)
    for operation in closed(client):
        if operation.scope == ADMIN:
            continue
        path, nobodys = seed.path(operation), seed.path(operation, nobodys=True)
        status, text = status_and_text(await ask(client, operation.method, path, other))
        assert status not in (401, 403, 500), name_of(operation)
        assert SECRET_WORD not in text, name_of(operation)
        # These tell of the process, at each time anew, and of the caller itself.
        if operation.operation_id not in ("get_prometheus_metrics", "get_status", "get_me"):
            answered = status_and_text(await ask(client, operation.method, nobodys, other))
            assert (status, same(text, seed)) == (answered[0], same(answered[1], seed)), name_of(operation)
    for user in ("ada", NOBODYS):  # a label in the query changes nothing
        for path in ("/sessions", "/approvals"):
            listed = await client.http.get(path, params={"user_id": user}, headers=other)
            assert listed.json()["data"] == []
    assert (await client.http.get("/approvals/count", headers=other)).json() == {"count": 0}
    assert await state_of(client, seed, own) == before, "nothing was changed"


async def state_of(client: ServerClient, seed: Seed, own: dict[str, str]) -> list[Any]:
    """What the owner sees of it."""
    paths = [
        f"/sessions/{seed.ids['session_id']}/runs",
        f"/sessions/{seed.ids['agent_session_id']}/runs",
        f"/approvals/{seed.ids['approval_id']}",
        f"/teams/demo-team/runs/{seed.ids['run_id']}?session_id={seed.ids['session_id']}",
    ]
    answers = [await client.http.get(path, headers=own) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


def same(text: str, seed: Seed) -> str:
    """The words of an answer, whatever ids and requests it speaks of."""
    for known in seed.ids.values():
        # As a whole word: "ada" may also be part of a random id.
        text = re.sub(rf"\b{re.escape(known)}\b", NOBODYS, text)
    text = re.sub(r'"search_time_ms":[0-9.]+', "", text)
    return re.sub(r'"request_id":"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9-]{10}T[0-9:]{8}Z|\d{10}(\.\d+)?', "", text)


FORMS: dict[str, dict[str, Any]] = {
    "continue": {"data": {"requirements": "[]", "stream": "false"}},
    "messages": {"data": {"message": "listen"}},
    "cancel": {},
    "resume": {"data": {}},
    "resolve": {"json": {"status": "approved"}},
    "rename": {"json": {"session_name": "mine"}},
}


async def test_another_user_changes_nothing_by_requests_that_are_right(client: ServerClient) -> None:
    seed, everything = await seeded(client), everything_but_admin(client)
    own, other = ISSUER.bearer("ada", *everything), ISSUER.bearer("eve", *everything)
    before = await state_of(client, seed, own)
    for operation in closed(client):
        fields = FORMS.get(operation.path.rsplit("/", 1)[1])
        if operation.method != "POST" or fields is None or operation.scope == ADMIN:
            continue
        form = dict(fields)
        session = seed.ids["agent_session_id" if operation.path.startswith("/agents/") else "session_id"]
        if "data" in form:
            form["data"] = {**form["data"], "session_id": session}
        answer = await client.http.post(seed.path(operation), headers=other, **form)
        assert answer.status_code == 404, (name_of(operation), answer.text)
    for to in ("teams/demo-team", "agents/solo-agent"):  # nor does a run enter her session
        for name in ("session_id", "agent_session_id"):
            answer = await client.post("hello", to, session_id=seed.ids[name], stream="false", headers=other)
            problem(answer, 404, "NOT_FOUND")
    taken = await client.post("hello", run_id=seed.ids["run_id"], stream="false", headers=other)
    assert SECRET_WORD not in problem(taken, 409, "CONFLICT")
    sessions = {"session_ids": [seed.ids["session_id"]], "session_types": ["team"]}
    await client.http.request("DELETE", "/sessions", json=sessions, headers=other)
    assert await state_of(client, seed, own) == before


async def test_keys_are_each_users_own(client: ServerClient) -> None:
    everything = everything_but_admin(client)
    runs = []
    for user in ("ada", "eve", "ada"):
        headers = {**ISSUER.bearer(user, *everything), "idempotency-key": "k1"}
        answer = await client.post("hello", stream="false", headers=headers)
        runs.append(answer.json()["run_id"])
    assert runs[0] == runs[2] != runs[1]


async def test_a_form_cannot_name_another_user(client: ServerClient) -> None:
    ada, eve = (ISSUER.bearer(user, *everything_but_admin(client)) for user in ("ada", "eve"))
    run = (await client.post("hello", user_id="eve", stream="false", headers=ada)).json()
    assert run["user_id"] == "ada"
    assert (await client.http.get("/sessions", headers=eve)).json()["data"] == []
    assert [one["session_id"] for one in (await client.http.get("/sessions", headers=ada)).json()["data"]] == [
        run["session_id"]
    ]


# --- administrators -----------------------------------------------------------------------------------


async def test_an_administrator_sees_everybodys_and_may_everything(client: ServerClient) -> None:
    seed = await seeded(client)
    own = ISSUER.bearer("ada", *everything_but_admin(client))
    for operation in closed(client):
        path = seed.path(operation)
        if operation.method == "GET" and operation.scope != ADMIN:
            assert (
                status_and_text(await ask(client, "GET", path, ADMIN_BEARER))[0]
                == status_and_text(await ask(client, "GET", path, own))[0]
            )
        answer = await ask(client, operation.method, path, ADMIN_BEARER)
        assert status_and_text(answer)[0] not in (401, 403, 500), name_of(operation)


async def test_what_an_administrator_adds_to_a_session_is_its_owners(client: ServerClient) -> None:
    seed = await seeded(client)
    own = ISSUER.bearer("ada", *everything_but_admin(client))
    session = seed.ids["session_id"]
    run = (await client.post("hello", session_id=session, stream="false", headers=ADMIN_BEARER)).json()
    seen = await client.http.get(f"/teams/demo-team/runs/{run['run_id']}?session_id={session}", headers=own)
    assert seen.status_code == 200


# --- administrators in others' sessions ---------------------------------------------------------------


async def test_what_an_administrator_continues_goes_on_in_the_users_name(client: ServerClient) -> None:
    own = ISSUER.bearer("ada", "teams:run")
    failed = (await client.post("[[ERROR 402]]", stream="false", session_id="s1", headers=own)).json()
    assert failed["status"] == "ERROR"
    path, data = f"/teams/demo-team/runs/{failed['run_id']}/continue", {"session_id": "s1", "stream": "false"}
    run = (await client.http.post(path, data=data, headers=ADMIN_BEARER)).json()
    assert (run["forked_from"], run["user_id"]) == (failed["run_id"], "ada")


@pytest.mark.parametrize("form", [{"stream": "true"}, {"stream": "false"}, {"background": "true"}])
@pytest.mark.parametrize("by", ["key", "run_id"])
async def test_a_request_sent_again_shows_nothing_to_who_is_no_administrator_any_more(
    client: ServerClient, form: dict[str, str], by: str
) -> None:
    await client.post("mine", stream="false", session_id="s1", headers=ISSUER.bearer("ada", "teams:run"))
    key = {"idempotency-key": "k"} if by == "key" else {}
    fields = {"message": SECRET_WORD, "session_id": "s1", **({"run_id": "r1"} if by == "run_id" else {})}
    first = await client.post(**fields, stream="false", headers={**ADMIN_BEARER, **key})
    assert first.json()["status"] == "COMPLETED"
    again = await client.post(**fields, **form, headers={**ISSUER.bearer("root", "teams:run"), **key})
    problem(again, 404, "NOT_FOUND")
