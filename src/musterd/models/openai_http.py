"""Calls OpenAI's chat completions, and compatible servers, over aiohttp.

The SDK's own code between ``create()`` and the network is the main cost of a call and grows with the history
(decision 002). So a subclass of the SDK's client sends ``chat.completions.create()`` itself and leaves everything else
to the SDK. Parameters, body and exceptions are the same. There are no retries; :mod:`musterd.models.call` has them.
"""

import os
import ssl
from collections.abc import Awaitable, Mapping
from functools import cached_property
from typing import Any, Self, cast

import aiohttp
import httpx2
import pydantic
from multidict import CIMultiDict
from openai import (
    NOT_GIVEN,
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    NotGiven,
    Omit,
)
from openai._models import construct_type
from openai.resources.chat.chat import AsyncChat
from openai.resources.chat.completions import (
    AsyncCompletions,
    AsyncCompletionsWithRawResponse,
    AsyncCompletionsWithStreamingResponse,
)
from openai.types.chat import ChatCompletion
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers import Provider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from yarl import URL

from musterd.core import trace_context
from musterd.core.settings import Settings
from musterd.models.answer_limits import longest_event, too_large
from musterd.models.openai_http_body import RequestPayload
from musterd.models.openai_http_failures import as_request, as_response, connection_error
from musterd.models.openai_http_model import ChatModel
from musterd.models.openai_http_pool import Pool, limits, read_body
from musterd.models.openai_http_stream import ChunkStream
from musterd.models.openai_sse import event_error, read_event
from musterd.models.provider_http import limited_transport

ERROR_BYTES = 64 * 1024
"""The most bytes read from the body of an error answer."""


def build_client(
    *,
    base_url: str | None,
    api_key: str,
    settings: Settings,
    organization: str | None = None,
    query: Mapping[str, object] | None = None,
) -> "OpenAIClient":
    """A client for pydantic-ai's ``OpenAIProvider(openai_client=…)``.

    :param base_url: the address of the API. None for OpenAI's.
    :param organization: the organization that is billed. None for the key's own.
    :param query: query parameters of every request.
    :raises DeclarationError: the environment names a proxy of an unsupported kind.
    """
    tls = httpx2.create_ssl_context(verify=settings.tls_verify)
    url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    pool = Pool(url, settings.model_calls, tls)
    sdk_client = DefaultAsyncHttpxClient(transport=limited_transport(httpx2, pool, settings), trust_env=False)
    return OpenAIClient(
        settings=settings,
        tls=tls,
        pool=pool,
        base_url=url,
        api_key=api_key,
        organization=organization,
        default_query=query,
        max_retries=0,
        http_client=sdk_client,
    )


def build_model(
    name: str,
    client: "OpenAIClient",
    *,
    provider: Provider[AsyncOpenAI] | None = None,
    model_settings: ModelSettings | None = None,
) -> OpenAIChatModel:
    """A pydantic-ai chat model on ``client``.

    :param name: the model's name at the provider.
    :param provider: the model's provider, created with ``openai_client=client``. None for OpenAI's.
    :param model_settings: the model's default settings.
    """
    return ChatModel(name, provider=provider or OpenAIProvider(openai_client=client), settings=model_settings)


class OpenAIClient(AsyncOpenAI):
    """The SDK's client with a cheaper path to the network for chat completions.

    :param tls: the trusted certificates.
    :param pool: another client's connections, to share them.
    :param options: the options of ``AsyncOpenAI``.
    """

    def __init__(self, *, settings: Settings, tls: ssl.SSLContext, pool: Pool | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._tls = tls
        self._pool = pool or Pool(str(self.base_url), settings.model_calls, tls)

    @cached_property
    def chat(self) -> AsyncChat:
        """The SDK's chat resource with our completions."""
        return _Chat(self)

    def copy(self, *, _extra_kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy of this client with other options and the same connections."""
        # Another address may need another proxy, so it gets connections of its own.
        pool = self._pool if not options.get("base_url") else None
        extra_kwargs = {"settings": self._settings, "tls": self._tls, "pool": pool, **(_extra_kwargs or {})}
        return super().copy(_extra_kwargs=extra_kwargs, **options)

    with_options = copy

    async def close(self) -> None:
        """Close all connections, including the SDK's."""
        await self._pool.close()
        await super().close()

    def status_error(self, answer: aiohttp.ClientResponse, body: bytes) -> APIStatusError:
        """The SDK's exception, with its message, for an answer with an error status."""
        return self._make_status_error_from_response(as_response(answer, body))


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(cast(OpenAIClient, self._client))


class _Completions(AsyncCompletions):
    """Sends ``create()`` itself. Its raw variants and everything else are the SDK's."""

    _client: OpenAIClient

    def __init__(self, client: OpenAIClient) -> None:
        super().__init__(client)
        self._settings = client._settings
        self._pool = client._pool
        self._limits = limits(self._settings, NOT_GIVEN)
        self._target: tuple[httpx2.URL, URL] | None = None
        self._headers: tuple[tuple[object, ...], CIMultiDict[str]] | None = None

    @cached_property
    def with_raw_response(self) -> AsyncCompletionsWithRawResponse:
        return AsyncCompletionsWithRawResponse(AsyncCompletions(self._client))

    @cached_property
    def with_streaming_response(self) -> AsyncCompletionsWithStreamingResponse:
        return AsyncCompletionsWithStreamingResponse(AsyncCompletions(self._client))

    async def create(  # type: ignore[override]
        self,
        *,
        extra_headers: Mapping[str, str | Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: object = None,
        timeout: object = NOT_GIVEN,  # noqa: ASYNC109 - the SDK's parameter, for the transport
        **parameters: Any,
    ) -> ChatCompletion | ChunkStream:
        """Request a completion. Parameters and results are the SDK's.

        :param timeout: replaces the limits of the settings: seconds, an ``httpx2.Timeout``, or None for no limit.
        :raises APIStatusError: the provider answered with an error status.
        :raises APITimeoutError: it took longer than allowed.
        :raises APIConnectionError: the provider could not be reached, or its answer is malformed.
        :raises ModelFailed: the answer is larger than the settings allow.
        """
        streams = bool(parameters.get("stream"))
        payload = RequestPayload(parameters, extra_body)
        session = await self._pool.session()
        # Thousands of calls may wait here for their models, so memory is released that is not needed after the answer:
        # pydantic-ai passes forty parameters, most of them absent.
        del parameters
        try:
            answer = await self._send(session, payload, extra_query, extra_headers, timeout)
        except (aiohttp.ClientError, OSError) as error:
            raise connection_error(error, self._url(extra_query).with_user(None)) from error
        try:
            await self._check(answer)
            if streams:
                if answer.content_type == "application/json":
                    raise _not_a_stream(await self._body(answer), answer.url)
                return ChunkStream(answer, self._settings)
            return _completion(await self._body(answer), answer.url)
        # Also if the caller is cancelled: an answer that is not read would keep its connection.
        except BaseException:
            answer.close()
            raise

    def _send(
        self,
        session: aiohttp.ClientSession,
        payload: RequestPayload,
        extra_query: Mapping[str, object] | None,
        extra_headers: Mapping[str, str | Omit] | None,
        timeout: object,
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send the request."""
        url, headers = self._url(extra_query), self._all_headers(extra_headers)
        if url.raw_user is not None:  # as httpx does; aiohttp does not accept both
            headers["Authorization"] = aiohttp.encode_basic_auth(url.user or "", url.password or "", "utf-8")
            url = url.with_user(None)
        client_timeout = self._limits if isinstance(timeout, NotGiven) else limits(self._settings, timeout)
        return session.post(url, data=payload, headers=headers, timeout=client_timeout)

    def _url(self, extra_query: Mapping[str, object] | None) -> URL:
        client = self._client
        if extra_query or client.default_query:
            params: dict[str, Any] = {**client.default_query, **(extra_query or {})}
            query_params = {key: value for key, value in params.items() if not isinstance(value, Omit)}
            sdk_url = client._prepare_url("/chat/completions")
            query = client.qs.stringify({**dict(sdk_url.params.items()), **query_params})
            return URL(str(sdk_url.copy_with(query=query.encode())), encoded=True)
        # The client's address may be changed at any time. URL objects do not change, so identity tells whether it was.
        if self._target is None or self._target[0] is not client.base_url:
            prepared = URL(str(client._prepare_url("/chat/completions")), encoded=True)
            self._target = client.base_url, prepared
        return self._target[1]

    def _all_headers(self, call_headers: Mapping[str, str | Omit] | None) -> CIMultiDict[str]:
        """The SDK's headers, without those that describe the SDK's own transport, overridden by the call's headers."""
        client = self._client
        credentials = (client.api_key, client.organization, client.project)
        # The SDK's headers are built once for each set of credentials, which may be changed on the client.
        if self._headers is None or self._headers[0] != credentials:
            sdk_headers = {**client.auth_headers, **client.default_headers}
            base_headers: CIMultiDict[str] = CIMultiDict()
            for name, value in sdk_headers.items():
                if isinstance(value, Omit):
                    base_headers.pop(name, None)
                elif not name.lower().startswith("x-stainless-"):
                    base_headers[name] = value
            self._headers = credentials, base_headers
        # A copy, because the headers of one call must not appear in the next.
        headers = self._headers[1].copy()
        headers.update(trace_context.outgoing_headers())
        for name, value in (call_headers or {}).items():
            if isinstance(value, Omit):
                headers.pop(name, None)
            else:
                headers[name] = value
        return headers

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if 200 <= answer.status < 300:
            return
        try:
            body, _ = await read_body(answer, ERROR_BYTES)
        except (aiohttp.ClientError, OSError):
            body = b""
        raise self._client.status_error(answer, body)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        limit = longest_event(self._settings)
        try:
            body, is_whole = await read_body(answer, limit)
        except (aiohttp.ClientError, OSError) as error:
            raise connection_error(error, answer.url) from error
        if not is_whole:
            raise too_large(f"The model's provider sent more than {limit} bytes for one answer.")
        return body


def _not_a_stream(body: bytes, url: URL) -> APIError:
    """The error for an answer that is one JSON value although a stream was requested."""
    try:
        error = event_error(b"", read_event(body))
    except ValueError:
        error = None
    if error is not None:
        return APIError(error[0], as_request(url), body=error[1])
    return APIConnectionError(message="The answer is not an event stream.", request=as_request(url))


def _completion(body: bytes, url: URL) -> ChatCompletion:
    try:
        data = read_event(body)
    except ValueError as error:
        raise APIConnectionError(message="The answer is not JSON.", request=as_request(url)) from error
    if not isinstance(data, dict):
        raise APIConnectionError(message="The answer is not a completion.", request=as_request(url))
    if not data.get("choices") and (stream_error := event_error(b"", data)) is not None:
        raise APIError(stream_error[0], as_request(url), body=stream_error[1])
    try:
        return ChatCompletion.model_validate(data)
    except pydantic.ValidationError:
        return cast(ChatCompletion, construct_type(type_=ChatCompletion, value=data))
