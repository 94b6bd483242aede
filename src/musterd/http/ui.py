"""The page at ``/ui/``: static files that ``npm run build`` in ``ui/`` writes into the package.

All URLs in the page are relative, so it works below any path prefix of a proxy. It loads nothing from other servers.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

import musterd
from musterd.core.errors import NotFound
from musterd.http.entity_tags import has_tag
from musterd.http.gzip_streams import accepts_gzip, gzipped

FOLDER = Path(musterd.__file__).parent / "ui_dist"
HOW_TO_BUILD = (
    "released packages contain the page; in a checkout, install Node 20 or newer and run `make setup`, "
    "which must also come before a wheel is built"
)
NOT_BUILT = f"The page is not built: {HOW_TO_BUILD}.\nThe API is not affected.\n"

_INDEX = "index.html"
_HASHED = "assets/"
_HASHED_CACHING = "public, max-age=31536000, immutable"
"""Names of these files contain a hash of their content."""
_OTHER_CACHING = "no-cache"
_COMPRESSED = frozenset({".css", ".html", ".js", ".svg", ".txt"})
_MEDIA_TYPES = {".js": "text/javascript", ".woff2": "font/woff2"}
"""Types that ``mimetypes`` takes from the machine, where they may be missing or wrong."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page.

    :param compressed: its content in gzip; None if compression does not pay.
    """

    content: bytes
    compressed: bytes | None
    media_type: str
    tag: str
    caching: str


def is_built(folder: Path = FOLDER) -> bool:
    """Whether there is a page."""
    return (folder / _INDEX).is_file()


class UserInterface:
    """Serves the files of a folder. They are read on first use, and again after the page was built anew.

    :param folder: with ``index.html`` and ``assets/``; it may be absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, PageFile] = {}
        self._built_at: int | None = None

    async def get(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"] or _INDEX
        if name == _INDEX or self._built_at is None:
            await to_thread.run_sync(self._refresh)
        if self._built_at is None:
            return PlainTextResponse(NOT_BUILT, status_code=404, headers={"Cache-Control": "no-store"})
        file = self._files.get(name)
        if file is None:
            raise NotFound("Not Found")
        return _answer(file, request)

    def _refresh(self) -> None:
        """Read the folder if it has changed."""
        try:
            built_at = (self._folder / _INDEX).stat().st_mtime_ns
        except FileNotFoundError:
            self._built_at = None
            return
        if built_at != self._built_at:
            self._files = {
                path.relative_to(self._folder).as_posix(): _read(path, self._folder)
                for path in self._folder.rglob("*")
                if path.is_file()
            }
            self._built_at = built_at


async def _redirect(request: Request) -> Response:
    """Add the slash that relative URLs need. The location is relative, because a proxy may have removed a prefix."""
    return RedirectResponse("ui/")


def ui_routes(folder: Path = FOLDER) -> list[Route]:
    """The routes of the page."""
    page = UserInterface(folder)
    return [Route("/ui", _redirect), Route("/ui/{name:path}", page.get)]


def _read(path: Path, folder: Path) -> PageFile:
    content, suffix = path.read_bytes(), path.suffix
    media_type = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_hashed = path.relative_to(folder).as_posix().startswith(_HASHED)
    return PageFile(
        content=content,
        compressed=gzipped(content) if suffix in _COMPRESSED else None,
        media_type=media_type,
        tag=hashlib.sha256(content).hexdigest()[:32],
        caching=_HASHED_CACHING if is_hashed else _OTHER_CACHING,
    )


def _answer(file: PageFile, request: Request) -> Response:
    is_compressed = file.compressed is not None and accepts_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{file.tag}-gzip"' if is_compressed else f'"{file.tag}"'
    headers = {**_HEADERS, "Cache-Control": file.caching, "ETag": tag, "Vary": "Accept-Encoding"}
    if has_tag(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    content = file.compressed if is_compressed else file.content
    return Response(content, media_type=file.media_type, headers=headers)
