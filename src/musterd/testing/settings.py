"""The settings of tests and replays."""

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from musterd.core.settings import Settings


class IsolatedSettings(Settings):
    """Settings that neither the environment nor a file changes, so that a test is the same on every machine."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments."""
        return (init_settings,)
