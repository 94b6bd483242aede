"""Reads the settings for a command."""

import difflib
import re
from collections.abc import Iterator, Mapping

from musterd.cli.env_file import load_env_file
from musterd.core.errors import StartError
from musterd.core.settings import Settings

_PREFIX = "MUSTERD_"
_NOT_SETTINGS = re.compile(
    r"MUSTERD_(TEST_.*|EXAMPLE_MODEL"  # read by tests and the sample team
    r"|URL|TOKEN"  # read by clients
    r"|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT(_\d+_.*)?)"  # set by Kubernetes for a service named musterd
)


def settings_from(db: str | None) -> Settings:
    """The settings from the environment and ``.env``, with the command's database if it names one.

    :raises StartError: environment variables have invalid values; the message has one line for each.
    """
    from pydantic import ValidationError

    load_env_file()
    try:
        return Settings() if db is None else Settings(db=db)
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False, include_input=False):
            name, problem = str(detail["loc"][0]).upper(), str(detail["msg"]).removeprefix("Value error, ")
            variable = name if name in _variable_names() else f"{_PREFIX}{name}"
            problems.append(f"{variable}: {problem} — correct or unset the variable")
        raise StartError("\n".join(dict.fromkeys(problems))) from error


def variables_of(name: str) -> list[str]:
    """The environment variables that set a field of the settings. The first one that is set counts."""
    alias = Settings.model_fields[name].validation_alias
    return [*([] if alias is None else [str(alias)]), f"{_PREFIX}{name.upper()}"]


def _variable_names() -> set[str]:
    """The environment variables that are settings."""
    return {variable for name in Settings.model_fields for variable in variables_of(name)}


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Environment variables that look like settings but are not, each with the setting that was probably meant."""
    settings = _variable_names()
    unprefixed = [name for name in settings if not name.startswith(_PREFIX)]
    for variable in sorted(environment):
        name = variable.upper()
        if name in settings or _NOT_SETTINGS.fullmatch(name):
            continue
        if name.startswith(_PREFIX):
            yield variable, next(iter(difflib.get_close_matches(name, settings, n=1, cutoff=0.75)), None)
        elif matches := difflib.get_close_matches(name, unprefixed, n=1, cutoff=0.9):
            yield variable, matches[0]
