"""Base classes of the built-in models, which run in this process and are called only as streams."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from musterd.core import clock
from musterd.models.call_progress import OnProgress


class BuiltInModel(Model):
    """A model that runs in this process. Subclasses implement :meth:`request_stream`."""

    name: ClassVar[str]
    reads_media: ClassVar[bool] = True

    def __init__(self) -> None:
        reads_media = self.reads_media
        super().__init__(
            profile=ModelProfile(
                supports_json_schema_output=True,
                supports_image_input=reads_media,
                supports_audio_file_input=reads_media,
                supports_video_input=reads_media,
                supports_document_input=reads_media,
            )
        )

    @property
    def is_loaded(self) -> bool:
        """Whether a call is answered without loading anything."""
        return True

    async def load(self) -> None:
        """Wait until the model is loaded.

        :raises ModelFailed: it cannot be loaded.
        """

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.name

    @property
    def system(self) -> str:
        """The provider's name: the model's own."""
        return self.name

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Read the stream to its end and return the whole answer."""
        async with self.request_stream(messages, model_settings, model_request_parameters) as stream:
            async for _ in stream:
                pass
            return stream.get()


@dataclass
class BuiltInStream(StreamedResponse):
    """One turn of a built-in model.

    :ivar on_progress: called while the model reads the prompt; set before the stream is read.
    """

    name: ClassVar[str]
    on_progress: OnProgress | None = field(default=None, init=False)
    started: datetime = field(default_factory=lambda: datetime.fromtimestamp(clock.now(), UTC), init=False)

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.name

    @property
    def provider_name(self) -> str:
        """The provider's name: the model's own."""
        return self.name

    @property
    def provider_url(self) -> None:
        """A built-in model has no address."""
        return None

    @property
    def timestamp(self) -> datetime:
        """When the turn began."""
        return self.started
