"""``musterd config``: the settings of the server and of commands that talk to one, and where they come from."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from musterd.cli.env_file import FILE, is_from_file, own_variable
from musterd.cli.output import print_json, print_text
from musterd.cli.remote.profiles import Profiles, profiles_path
from musterd.cli.remote.server_options import NO_OPTIONS, profile_in_use, server_of
from musterd.cli.settings import settings_from, variables_of
from musterd.core.redacted_urls import redacted_url
from musterd.core.settings import Settings

DEFAULT, ENVIRONMENT = "default", "environment"
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class _Setting:
    """A line of the output.

    :param value: what it is set to, without secrets.
    :param source: ``default``, ``environment``, ``.env``, ``profile NAME``, or the path of a file.
    :param is_hidden: whether it has a value that is secret.
    """

    name: str
    value: object
    source: str
    is_hidden: bool


def show(*, as_json: bool) -> int:
    """Print all settings.

    :raises StartError: environment variables have invalid values.
    :raises CommandFailed: the profiles cannot be read, or ``MUSTERD_URL`` is not a URL.
    """
    settings = [*_settings(settings_from(None)), *_client_settings()]
    if as_json:
        print_json([asdict(setting) for setting in settings])
        return 0
    names, values = [setting.name for setting in settings], [_text(setting) for setting in settings]
    name_width, value_width = max(map(len, names)), max(map(len, values))
    for setting, value in zip(settings, values, strict=True):
        print_text(f"{setting.name:{name_width}}  {value:{value_width}}  {setting.source}")
    return 0


def _settings(settings: Settings) -> Iterator[_Setting]:
    environment = {name.upper(): name for name in os.environ}
    for name, field in Settings.model_fields.items():
        variables = variables_of(name)
        set_variables = [environment[variable] for variable in variables if variable in environment]
        value = getattr(settings, name)
        is_hidden = not field.repr and bool(value)
        yield _Setting(
            name=variables[0],
            value=None if is_hidden else redacted_url(value) if name == "db" else value,
            source=_source(set_variables[0]) if set_variables else DEFAULT,
            is_hidden=is_hidden,
        )


def _client_settings() -> Iterator[_Setting]:
    """The server that commands talk to if none is named, as they choose it."""
    name, server = profile_in_use(), server_of(NO_OPTIONS)
    has_token = name is not None and bool(Profiles.load().get(name).token)
    url_source, token_source = (
        ENVIRONMENT if own_variable(variable) else DEFAULT for variable in ("MUSTERD_URL", "MUSTERD_TOKEN")
    )
    of_profile = f"profile {name}"
    yield _Setting("MUSTERD_URL", redacted_url(server.url), of_profile if name else url_source, is_hidden=False)
    yield _Setting("MUSTERD_TOKEN", None, of_profile if has_token else token_source, is_hidden=bool(server.token))
    yield _Setting("profile", name, str(profiles_path()) if name else DEFAULT, is_hidden=False)


def _source(variable: str) -> str:
    """Where the value of a variable comes from that is set."""
    return FILE if is_from_file(variable) else ENVIRONMENT


def _text(setting: _Setting) -> str:
    """The value in the form that the variable has."""
    if setting.is_hidden:
        return HIDDEN
    if isinstance(setting.value, bool):
        return str(setting.value).lower()
    if isinstance(setting.value, tuple):
        return ",".join(map(str, setting.value)) or "-"
    return "-" if setting.value in (None, "") else str(setting.value)
