"""``musterd config``: the settings, and where they come from."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from musterd.cli.env_file import FILE, is_from_file
from musterd.cli.output import print_json, print_text
from musterd.cli.settings import settings_from, variables_of
from musterd.core.settings import Settings
from musterd.store.open_database import redacted_url

DEFAULT, ENVIRONMENT = "default", "environment"
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class _Setting:
    """A line of the output.

    :param value: what it is set to, without secrets.
    :param source: ``default``, ``environment`` or ``.env``.
    :param is_hidden: whether it has a value that is secret.
    """

    name: str
    value: object
    source: str
    is_hidden: bool


def show(*, as_json: bool) -> int:
    """Print all settings.

    :raises StartError: environment variables have invalid values.
    """
    settings = list(_settings(settings_from(None)))
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
            source=DEFAULT if not set_variables else FILE if is_from_file(set_variables[0]) else ENVIRONMENT,
            is_hidden=is_hidden,
        )


def _text(setting: _Setting) -> str:
    """The value in the form that the variable has."""
    if setting.is_hidden:
        return HIDDEN
    if isinstance(setting.value, bool):
        return str(setting.value).lower()
    if isinstance(setting.value, tuple):
        return ",".join(map(str, setting.value)) or "-"
    return "-" if setting.value in (None, "") else str(setting.value)
