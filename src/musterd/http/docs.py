"""The OpenAPI document and its pages. Their assets are local files: no page loads anything from other servers.

``/docs`` is Swagger UI and ``/redoc`` is ReDoc, both from files of the package ``fastapi-offline``, which is never
imported. The document is built on the first request, so that it does not slow down the start.
"""

import importlib.util
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from musterd.core import jsontext
from musterd.core.errors import NotFound
from musterd.http.operation import Operation
from musterd.http.responses import JSON

_SWAGGER_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_REDOC_ASSET = "redoc.standalone.js"
_REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
_EMPTY_LOGO = b"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>"

_HEADERS = {
    # Allow nothing from other servers. ReDoc needs inline styles, and a worker from a blob for its search.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_ASSET_HEADERS = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
<div id="page"></div>
{scripts}
</body>
</html>
"""
_SWAGGER_PAGE = _PAGE.format(
    title="API · musterd",
    head='<link rel="stylesheet" href="docs/swagger-ui.css">',
    scripts='<script src="docs/swagger-ui-bundle.js"></script>\n<script src="docs/start.js"></script>',
)
_SWAGGER_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""
_REDOC_PAGE = _PAGE.format(
    title="API · musterd",
    head="<style>body { margin: 0 }</style>",
    scripts=f'<script src="redoc/{_REDOC_ASSET}"></script>\n<script src="redoc/start.js"></script>',
)
_REDOC_SCRIPT = 'Redoc.init("openapi.json", {}, document.getElementById("page"));\n'


class Docs:
    """Serves the OpenAPI document and its pages.

    :param operations: the operations of the application, in the order of the document.
    """

    def __init__(self, operations: list[Operation], *, title: str, version: str) -> None:
        self._operations = operations
        self._title = title
        self._version = version
        self._documents: dict[str, bytes] = {}

    def document(self, root_path: str = "") -> dict[str, Any]:
        """The OpenAPI document of an application that is mounted at ``root_path``."""
        from musterd.http.openapi.document import document

        return document(self._operations, title=self._title, version=self._version, root_path=root_path)

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI document as JSON."""
        root_path = request.scope.get("root_path", "").rstrip("/")
        content = self._documents.get(root_path)
        if content is None:
            content = self._documents[root_path] = jsontext.dumps(self.document(root_path)).encode()
        return Response(content, media_type=JSON)

    async def swagger(self, request: Request) -> Response:
        """The Swagger UI page."""
        return HTMLResponse(_SWAGGER_PAGE, headers=_HEADERS)

    async def redoc(self, request: Request) -> Response:
        """The ReDoc page."""
        return HTMLResponse(_REDOC_PAGE, headers=_HEADERS)

    async def swagger_asset(self, request: Request) -> Response:
        """A file of the Swagger UI page."""
        name = request.path_params["name"]
        if name == "start.js":
            return _asset(_SWAGGER_SCRIPT.encode(), "text/javascript")
        if name not in _SWAGGER_ASSETS:
            raise NotFound
        return _asset(await _read(name), _SWAGGER_ASSETS[name])

    async def redoc_asset(self, request: Request) -> Response:
        """A file of the ReDoc page. ReDoc loads a logo from another server, so it is replaced by an empty one."""
        name = request.path_params["name"]
        if name == "start.js":
            return _asset(_REDOC_SCRIPT.encode(), "text/javascript")
        if name != _REDOC_ASSET:
            raise NotFound
        return _asset((await _read(name)).replace(_REDOC_LOGO, _EMPTY_LOGO), "text/javascript")


def docs_routes(operations: list[Operation], *, title: str, version: str) -> list[Route]:
    """The routes of ``/openapi.json``, ``/docs`` and ``/redoc``."""
    docs = Docs(operations, title=title, version=version)
    return [
        Route("/openapi.json", docs.openapi),
        Route("/docs", docs.swagger),
        Route("/docs/{name}", docs.swagger_asset),
        Route("/redoc", docs.redoc),
        Route("/redoc/{name}", docs.redoc_asset),
    ]


def _asset(content: bytes, media_type: str) -> Response:
    return Response(content, media_type=media_type, headers=_ASSET_HEADERS)


async def _read(name: str) -> bytes:
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise NotFound("The package fastapi-offline, which contains this file, is not installed.")
    return await to_thread.run_sync((Path(spec.origin).parent / "static" / name).read_bytes)
