"""OpenAI's moderation: a message is sent there before any model reads it."""

import base64
import os
from collections.abc import Sequence
from typing import Any

from musterd.core.errors import CheckTrigger, InputCheckError, RunFailed
from musterd.guards.given import RunInput
from musterd.guards.guardrail import BaseGuardrail

SECONDS = 20.0
"""How long the service may take."""
_ADDRESS = "https://api.openai.com/v1"


class OpenAIModerationGuardrail(BaseGuardrail):
    """Refuses what OpenAI's moderation flags. Where the service does not answer the run ends: nothing goes unchecked.

    :param moderation_model: which of its models looks.
    :param raise_for_categories: refuse for these alone; by default for all.
    :param api_key: default: ``OPENAI_API_KEY``.
    :param base_url: where the service is; default: ``OPENAI_BASE_URL``, else OpenAI's.
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
        """Have the message looked at.

        :raises InputCheckError: it is flagged; ``additional_data`` has the categories and their scores.
        :raises RunFailed: the service did not answer.
        """
        found = await self._moderated(_asked(run_input))
        categories = {name for name, is_flagged in found.get("categories", {}).items() if is_flagged}
        if found.get("flagged") and (self._categories is None or categories & self._categories):
            raise InputCheckError(
                f"The message was refused by moderation: {', '.join(sorted(categories))}.",
                check_trigger=CheckTrigger.INPUT_NOT_ALLOWED,
                additional_data={name: found.get(name) for name in ("categories", "category_scores")},
            )

    async def _moderated(self, asked: Any) -> dict[str, Any]:
        import aiohttp

        key = self._key or os.environ.get("OPENAI_API_KEY")
        if key is None:
            raise _unavailable("set OPENAI_API_KEY")
        session = await self._session()
        sent = {"json": {"model": self._model, "input": asked}, "headers": {"Authorization": f"Bearer {key}"}}
        limit = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with session.post(f"{self._base}/moderations", timeout=limit, **sent) as answer:
                if answer.status != 200:
                    raise _unavailable(f"it answered {answer.status}")
                (result,) = (await answer.json())["results"]
                found: dict[str, Any] = dict(result)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise _unavailable("it could not be reached, or its answer could not be read") from error
        return found

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


def _asked(run_input: RunInput) -> Any:
    text = run_input.input_content_string()
    pictures = [{"type": "image_url", "image_url": {"url": _url(image)}} for image in run_input.images]
    return [{"type": "text", "text": text}, *pictures] if pictures else text


def _url(image: Any) -> str:
    url = getattr(image, "url", None)
    return url or f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _unavailable(why: str) -> RunFailed:
    return RunFailed(f"The message was not checked by moderation: {why}.", "moderation_unavailable", retryable=True)
