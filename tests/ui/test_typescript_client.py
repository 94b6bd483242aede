"""The TypeScript client in a browser, on a page of an application that is not the server's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.typescript import PACKAGE, node

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

    from tests.support.process import Process

APP = "/application/"
IMPORTS = {"musterd-client": "./dist/index.js", "openapi-fetch": "./node_modules/openapi-fetch/dist/index.mjs"}
RUN = """async ([url, message]) => {
  const { Client } = await import("musterd-client");
  const client = new Client({ url });
  const files = [new File(["notes"], "notes.txt")];
  const run = await client.start("support-desk", message, { files });
  const events = [];
  for await (const event of client.stream(run)) events.push(event.event);
  const done = await client.wait(run);
  const refused = await client.runs.get("no-such-run").catch((error) => error.name);
  return { status: done.status, file: done.input.files[0].filename, last: events.at(-1), refused };
}"""


def serve(route: Route) -> None:
    """Answer a request of the application: its page, or a file of the package."""
    path = route.request.url.partition(APP)[2]
    if path == "":
        imports = json.dumps({"imports": IMPORTS})
        route.fulfill(content_type="text/html", body=f'<script type="importmap">{imports}</script>')
    else:
        route.fulfill(path=PACKAGE / path, content_type="text/javascript")


def test_an_application_starts_and_follows_a_run(browser: Browser, shared_server: Process) -> None:
    node()
    address = str(shared_server.http.base_url).rstrip("/")
    with browser.new_context() as context:
        context.route(f"{address}{APP}**", serve)
        page = context.new_page()
        page.goto(f"{address}{APP}")
        seen = page.evaluate(RUN, [address, "[[SAY hi]]"])
    assert seen == {"status": "COMPLETED", "file": "notes.txt", "last": "TeamRunCompleted", "refused": "NotFound"}
