"""A guardrail that sends each message to OpenAI's moderation before a model reads it."""

import base64
import json
import os
from collections.abc import Sequence
from typing import Any

from musterd.core.errors import CheckTrigger, InputCheckError, RunFailed
from musterd.guards.guardrail import BaseGuardrail
from musterd.guards.hook_types import RunInput

SECONDS = 20.0
"""Time limit of one moderation request."""
ANSWER_BYTES = 64 * 1024
"""Largest answer that is read, after decompression. A longer one counts as not valid."""
_ADDRESS = "https://api.openai.com/v1"


class OpenAIModerationGuardrail(BaseGuardrail):
    """Rejects messages that OpenAI's moderation flags. If the service does not answer, the run ends in ERROR.

    :param moderation_model: the moderation model.
    :param raise_for_categories: reject only for these categories; by default for all.
    :param api_key: default: ``OPENAI_API_KEY``.
    :param base_url: address of the service; default: ``OPENAI_BASE_URL``, else OpenAI's.
    """

    def __init__(
        self,
        moderation_model: str = "omni-moderation-latest",
        raise_for_categories: Sequence[str] | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
    ) -> None:
        self._model = moderation_model
        self._categories = None if raise_for_categories is None else frozenset(raise_for_categories)
        self._key = api_key
        self._address = base_url
        self._pool: Any = None

    async def async_check(self, run_input: RunInput) -> None:
        """Send the message to moderation.

        :raises InputCheckError: if it is flagged; ``additional_data`` has the categories and their scores.
        :raises RunFailed: if the service did not answer.
        """
        result = await self._moderate(_moderation_input(run_input))
        categories = {name for name, is_flagged in result.get("categories", {}).items() if is_flagged}
        if result.get("flagged") and (self._categories is None or categories & self._categories):
            raise InputCheckError(
                f"The message was rejected by moderation: {', '.join(sorted(categories))}.",
                check_trigger=CheckTrigger.INPUT_NOT_ALLOWED,
                additional_data={name: result.get(name) for name in ("categories", "category_scores")},
            )

    async def _moderate(self, moderation_input: Any) -> dict[str, Any]:
        import aiohttp

        from musterd.models.openai_http_pool import read_body

        key = self._key or os.environ.get("OPENAI_API_KEY")
        if key is None:
            raise _unavailable("set OPENAI_API_KEY")
        session = await self._session()
        headers = {"Authorization": f"Bearer {key}"}
        body = {"model": self._model, "input": moderation_input}
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with session.post(
                f"{self._base}/moderations", timeout=timeout, json=body, headers=headers
            ) as response:
                if response.status != 200:
                    raise _unavailable(f"it answered {response.status}")
                content, _ = await read_body(response, ANSWER_BYTES)
                (first,) = json.loads(content)["results"]
                result: dict[str, Any] = dict(first)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise _unavailable("it is unreachable or its response is not valid") from error
        return result

    @property
    def _base(self) -> str:
        return (self._address or os.environ.get("OPENAI_BASE_URL") or _ADDRESS).rstrip("/")

    async def _session(self) -> Any:
        if self._pool is None:
            import httpx2

            from musterd.core.settings import Settings
            from musterd.models.openai_http_pool import Pool

            tls = httpx2.create_ssl_context(verify=Settings().tls_verify)
            self._pool = Pool(self._base, connections=16, tls=tls)
        return await self._pool.session()


def _moderation_input(run_input: RunInput) -> Any:
    text = run_input.input_content_string()
    images = [{"type": "image_url", "image_url": {"url": _url(image)}} for image in run_input.images]
    return [{"type": "text", "text": text}, *images] if images else text


def _url(image: Any) -> str:
    url = getattr(image, "url", None)
    return url or f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _unavailable(reason: str) -> RunFailed:
    return RunFailed(f"The message was not checked by moderation: {reason}.", "moderation_unavailable", retryable=True)
