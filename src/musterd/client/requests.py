"""How a request is built, sent, and sent again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from . import clock
from .errors import NotFound, error_of
from .flows import Flow, Sleep, send
from .retries import Retries

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 10.0
KEY_HEADER = "Idempotency-Key"
ANSWER_SECONDS = 30.0
"""How long an answer may take, in addition to the time for which the request has the server wait."""


def path_of(*parts: str) -> str:
    """A path of identifiers, which may contain any character.

    :raises ValueError: one is empty.
    """
    if not all(parts):
        raise ValueError("an id is empty")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def new_key(key: str | None = None) -> dict[str, str]:
    """The header with which a request that is sent twice is done once.

    :param key: the caller's own key.
    """
    return {KEY_HEADER: clock.new_id() if key is None else key}


class Requests:
    """Builds requests, and sends them until they are answered.

    :param http: the client that has the server's address; drivers send with it.
    :param retry_seconds: for how long a call that fails is retried.
    """

    def __init__(self, http: httpx2.Client | httpx2.AsyncClient, retry_seconds: float) -> None:
        self._http = http
        self._retry_seconds = retry_seconds

    def retries(self, deadline: float = math.inf, *, is_repeatable: bool = True) -> Retries:
        """The retries of one call.

        :param deadline: when the call must have ended, on the clock of :func:`clock.monotonic`.
        :param is_repeatable: whether the request may arrive twice.
        """
        return Retries(self._retry_seconds, deadline, is_repeatable=is_repeatable)

    def build(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        server_seconds: float = 0,
        **body: Any,
    ) -> httpx2.Request:
        """A request to the server.

        :param query: parameters; those that are None are left out.
        :param server_seconds: how long it has the server wait; infinite if only the server knows how long it works.
        :param body: as httpx's ``json``, ``data`` and ``files``.
        """
        answer_seconds = None if math.isinf(server_seconds) else server_seconds + ANSWER_SECONDS
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=answer_seconds)
        params = {name: value for name, value in (query or {}).items() if value is not None}
        return self._http.build_request(method, path, params=params, headers=headers, timeout=timeout, **body)

    def answer(
        self,
        method: str,
        path: str,
        *,
        deadline: float = math.inf,
        is_repeatable: bool = True,
        retries: Retries | None = None,
        **options: Any,
    ) -> Flow[httpx2.Response]:
        """Send a request until it is answered.

        :param deadline: of :meth:`retries`.
        :param is_repeatable: of :meth:`retries`.
        :param retries: made by :meth:`retries`, if the caller asks them about the tries that failed.
        :param options: of :meth:`build`.
        :raises ClientError: the server refused it, or did not answer for too long.
        """
        retries = retries or self.retries(deadline, is_repeatable=is_repeatable)
        while True:
            # All tries have the same headers, and so the same key.
            outcome = yield from send(self.build(method, path, **options))
            if isinstance(outcome, httpx2.Response) and outcome.is_success:
                return outcome
            yield Sleep(retries.wait_seconds(outcome))

    def json(self, method: str, path: str, **options: Any) -> Flow[Any]:
        """The JSON of an answer; parameters as of :meth:`answer`."""
        answer = yield from self.answer(method, path, **options)
        try:
            return answer.json()
        except ValueError as error:
            raise error_of(answer, "The answer is not JSON. Is this the URL of a musterd server?") from error

    def delete(self, path: str, **options: Any) -> Flow[None]:
        """Delete something that may be gone, perhaps by an earlier try; parameters as of :meth:`answer`."""
        try:
            yield from self.answer("DELETE", path, **options)
        except NotFound:
            return
