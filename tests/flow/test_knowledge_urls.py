"""Contents that are fetched: where URLs may lead, also by redirects, and what is refused."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from musterd.features.knowledge import fetching
from musterd.features.knowledge.records import NAME_LENGTH
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.knowledge_contents import CONTENT, ServeDocs, search

PRIVATE = "points to a private network"
LIMIT = 64 * 1024
BOMB_BYTES = 50 * 1024 * 1024


class Site:
    """A web site on loopback.

    :param text: what its page says.
    """

    def __init__(self) -> None:
        self.text = "The tower is in Paris."
        self.requests = 0
        self.url = ""
        self.over = asyncio.Event()

    async def page(self, request: web.Request) -> web.Response:
        """A page in HTML."""
        self.requests += 1
        return web.Response(text=f"<html><body><p>{self.text}</p></body></html>", content_type="text/html")

    async def cyrillic(self, request: web.Request) -> web.Response:
        """A text in an encoding that only the header names."""
        return web.Response(body="Башня".encode("cp1251"), headers={"Content-Type": "text/plain; charset=windows-1251"})

    async def redirect(self, request: web.Request) -> web.Response:
        """A redirect to what the query names."""
        raise web.HTTPFound(request.query["to"])

    async def again(self, request: web.Request) -> web.Response:
        """A redirect to itself."""
        raise web.HTTPFound("/again")

    async def large(self, request: web.Request) -> web.Response:
        """More than a content may have."""
        return web.Response(body=b"x" * (LIMIT + 1))

    async def bomb(self, request: web.Request) -> web.Response:
        """A few bytes that are unpacked to 50 MB."""
        body = gzip.compress(bytes(BOMB_BYTES))
        assert len(body) < LIMIT
        return web.Response(body=body, headers={"Content-Encoding": "gzip"}, content_type="text/plain")

    async def silent(self, request: web.Request) -> web.Response:
        """No answer."""
        await self.over.wait()
        return web.Response()

    async def stalled(self, request: web.Request) -> web.StreamResponse:
        """The beginning of an answer."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"The tower")
        await self.over.wait()
        return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/page", site.page)
    app.router.add_get("/redirect", site.redirect)
    app.router.add_get("/cyrillic", site.cyrillic)
    app.router.add_get("/again", site.again)
    app.router.add_get("/large", site.large)
    app.router.add_get("/bomb", site.bomb)
    app.router.add_get("/silent", site.silent)
    app.router.add_get("/stalled", site.stalled)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    site.over.set()
    await runner.cleanup()


@pytest.fixture
async def docs(serve_docs: ServeDocs) -> AsyncIterator[ServerClient]:
    """A server whose contents may come from loopback."""
    async with serve_docs(knowledge_private_hosts=("127.0.0.1",), body_bytes=LIMIT) as client:
        yield client


async def fetched(client: ServerClient, url: str) -> dict[str, str]:
    """The content of a URL, after its job has ended."""
    answer = await client.http.post(CONTENT, data={"url": url})
    assert answer.status_code == 202, answer.text
    content: dict[str, str] = await client.get(f"{CONTENT}/{answer.json()['id']}", wait=60)
    return content


async def test_the_encoding_that_an_answer_names_is_used(docs: ServerClient, site: Site) -> None:
    assert (await fetched(docs, f"{site.url}/cyrillic"))["status"] == "completed"
    (hit,) = (await search(docs, "Башня", search_type="keyword"))["data"]
    assert hit["content"] == "Башня"


async def test_a_page_is_fetched_and_found(docs: ServerClient, site: Site) -> None:
    content = await fetched(docs, f"{site.url}/redirect?to=/page")
    assert (content["status"], content["type"]) == ("completed", "html")
    (hit,) = (await search(docs, "tower"))["data"]
    assert (hit["content"].strip(), hit["content_origin"]) == (site.text, f"{site.url}/redirect?to=/page")


async def test_a_refreshed_page_replaces_what_it_said(docs: ServerClient, site: Site) -> None:
    url = f"{site.url}/page"
    content = await fetched(docs, url)
    site.text = "The tower is in Rome."
    answer = await docs.http.post(f"{CONTENT}/{content['id']}/refresh")
    assert answer.status_code == 202
    await docs.get(f"{CONTENT}/{content['id']}", wait=60)
    assert [hit["content"].strip() for hit in (await search(docs, "tower"))["data"]] == [site.text]
    site.text = "The tower is in Pisa."
    assert (await fetched(docs, url))["id"] == content["id"]
    assert [hit["content"].strip() for hit in (await search(docs, "tower"))["data"]] == [site.text]


async def test_a_page_that_cannot_be_fetched_again_is_described_as_before(docs: ServerClient, site: Site) -> None:
    content = await fetched(docs, f"{site.url}/page")
    path, text, site.text = f"{CONTENT}/{content['id']}", site.text, "x" * LIMIT
    answer = await docs.http.post(f"{path}/refresh")
    assert (answer.json()["status"], answer.json()["size"]) == ("processing", content["size"])
    failed = await docs.get(path, wait=60)
    assert (failed["status"], failed["size"], failed["type"]) == ("failed", content["size"], "html")
    assert failed["status_message"] == (
        "The replacement failed; searches still find the earlier text. The URL's answer is larger than 64 KiB."
    )
    assert [hit["content"].strip() for hit in (await search(docs, "tower"))["data"]] == [text]
    site.text = "The tower is in Rome, since today."
    assert (await docs.http.post(f"{path}/refresh")).status_code == 202
    refreshed = await docs.get(path, wait=60)
    size = str(len(f"<html><body><p>{site.text}</p></body></html>"))
    assert (refreshed["status"], refreshed["status_message"], refreshed["size"]) == ("completed", "", size)


async def test_long_urls_that_begin_alike_are_different_contents(docs: ServerClient, site: Site) -> None:
    first, second = (f"{site.url}/page?{'x' * NAME_LENGTH}{number}" for number in (1, 2))
    contents = [await fetched(docs, url) for url in (first, second)]
    assert contents[0]["id"] != contents[1]["id"]
    for content, url in zip(contents, (first, second), strict=True):
        assert (len(content["name"]), content["origin"]) == (NAME_LENGTH, url)
        assert content["name"].startswith(f"{site.url}/page?xxx")
    answer = await docs.http.post(CONTENT, data={"url": first, "chunk_size": 1000})
    assert answer.json()["id"] == contents[0]["id"], "it is the same content, however it is read"


@pytest.mark.parametrize("to", ["http://127.0.0.2:8080/", "http://[::1]:8080/", "http://169.254.169.254/", "file:///x"])
async def test_a_redirect_does_not_lead_where_the_url_may_not(docs: ServerClient, site: Site, to: str) -> None:
    content = await fetched(docs, f"{site.url}/redirect?to={to}")
    assert content["status"] == "failed"
    assert PRIVATE in content["status_message"] or "must begin with http" in content["status_message"]


@pytest.mark.parametrize(
    "path, words",
    [
        ("/nothing", "The URL answers with status 404."),
        ("/large", "The URL's answer is larger than 64 KiB."),
        ("/bomb", "The URL's answer is larger than 64 KiB."),
        ("/again", "The URL leads to more than 5 redirects."),
    ],
)
async def test_a_url_that_leads_to_nothing_fails_in_words(
    docs: ServerClient, site: Site, path: str, words: str
) -> None:
    content = await fetched(docs, f"{site.url}{path}")
    assert (content["status"], content["status_message"]) == ("failed", words)


@pytest.mark.parametrize("path", ["/silent", "/stalled"])
async def test_a_server_that_does_not_answer_is_given_up(
    docs: ServerClient, site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.5)
    content = await fetched(docs, f"{site.url}{path}")
    assert (content["status"], content["status_message"]) == ("failed", "The URL did not answer within 0.5 s.")


async def test_an_unreachable_url_tells_nothing_of_the_network(docs: ServerClient) -> None:
    content = await fetched(docs, "http://127.0.0.1:9/x.pdf")
    assert (content["status"], content["status_message"]) == ("failed", "The address is unreachable or not allowed.")


@pytest.mark.parametrize(
    "url", ["http://localhost:7777/health", "http://10.0.0.1/", "http://127.0.0.1:6379/", "ftp://x/"]
)
async def test_private_networks_are_refused_before_anything_is_stored(serve_docs: ServeDocs, url: str) -> None:
    async with serve_docs() as client:
        assert wrong_fields(await client.http.post(CONTENT, data={"url": url})) == [("body", "url")]
        assert (await client.get(CONTENT))["data"] == []


async def test_only_a_url_is_refreshed(docs: ServerClient) -> None:
    answer = await docs.http.post(CONTENT, data={"text_content": "text"})
    refresh = await docs.http.post(f"{CONTENT}/{answer.json()['id']}/refresh")
    assert wrong_fields(refresh) == [("path", "content_id")]
    assert "upload it again under its name" in refresh.text
    unknown = await docs.http.post(f"{CONTENT}/zzz/refresh")
    assert problem(unknown, 404, "NOT_FOUND") == "Content not found: zzz"
