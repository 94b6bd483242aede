"""How a client finds its server, and what it shows of itself."""

import asyncio
import inspect
import traceback

import httpx2
import pytest

from musterd import AsyncClient, Client
from musterd.client import CannotConnect


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_environment_names_the_server_and_the_token(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTERD_URL", "http://host:1/teams")
    monkeypatch.setenv("MUSTERD_TOKEN", "token-of-mine")
    client = kind()
    assert repr(client) == f"{kind.__name__}('http://host:1/teams/')"
    assert client._driver.http.headers["authorization"] == "Bearer token-of-mine"
    assert repr(kind("http://user:password@other", token="x")) == f"{kind.__name__}('http://other')"


def test_without_any_the_server_is_here() -> None:
    with Client() as client:
        assert repr(client) == "Client('http://127.0.0.1:7777')"
        assert "authorization" not in client._driver.http.headers


@pytest.mark.parametrize(
    "url",
    ["localhost:7777", "127.0.0.1", "ftp://host", "http://", "http://[::1", "http://a..b", f"http://{'a' * 64}.b"],
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Client(url)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [("http://127.0.0.1:7777", True), ("http://LOCALHOST", True), ("http://[::1]:1", True), ("http://10.0.0.1", False)],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_proxy_of_the_environment_does_not_lead_to_this_machine(
    kind: type[Client] | type[AsyncClient], url: str, is_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    http = kind(url)._driver.http
    way = http._transport_for_url(httpx2.URL(url))
    assert (way is http._transport) == is_here


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_token_is_sent_without_its_line_feed_or_refused(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind(token=" sesame\n")._driver.http.headers["authorization"] == "Bearer sesame"
    monkeypatch.setenv("MUSTERD_TOKEN", "\n")
    assert "authorization" not in kind()._driver.http.headers
    for token in ("sesame\nsesame", "sesame\N{HORIZONTAL ELLIPSIS}", "sesame\0", "sesame\udcff"):
        with pytest.raises(ValueError, match=r"^the token has characters that an HTTP header cannot have$"):
            kind(token=token)


def test_a_header_that_cannot_be_sent_is_not_repeated() -> None:
    headers, transport = {"authorization": "Bearer sesame\n"}, httpx2.MockTransport(refuse_headers)
    http = httpx2.Client(base_url="http://host", headers=headers, transport=transport)
    with Client(http=http) as client, pytest.raises(CannotConnect) as caught:
        client.teams.list()
    text = "".join(traceback.format_exception(caught.value))
    assert "the request is not valid HTTP" in text
    assert "sesame" not in text


def refuse_headers(request: httpx2.Request) -> httpx2.Response:
    """As h11 does."""
    raise httpx2.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}", request=request)


def test_a_client_of_the_callers_own_sends_the_requests() -> None:
    def answered(request: httpx2.Request) -> httpx2.Response:
        assert (str(request.url), request.headers["authorization"]) == ("http://host/api/teams", "Bearer mine")
        return httpx2.Response(200, json=[{"id": "desk", "name": "Desk"}])

    transport, headers = httpx2.MockTransport(answered), {"authorization": "Bearer mine"}
    with Client(http=httpx2.Client(base_url="http://host/api", headers=headers, transport=transport)) as client:
        assert [team.name for team in client.teams.list()] == ["Desk"]

    async def listed() -> list[str]:
        http = httpx2.AsyncClient(base_url="http://host/api", headers=headers, transport=transport)
        async with AsyncClient(http=http) as client:
            return [team.name for team in await client.teams.list()]

    assert asyncio.run(listed()) == ["Desk"]


def test_an_empty_id_is_refused_before_anything_is_sent() -> None:
    with Client() as client, pytest.raises(ValueError, match="an id is empty"):
        client.sessions.delete("")


def test_calls_have_docstrings_and_parameters() -> None:
    start = Client().start
    assert "in the background" in (start.__doc__ or "")
    assert [*inspect.signature(start).parameters] == ["component", "message", "kind", "options"]
