"""The settings that a command is called with."""

from musterd.core.errors import StartError
from musterd.core.settings import Settings


def settings_from(db: str | None) -> Settings:
    """The settings of the environment, with the command's own database where it names one.

    :raises StartError: a variable cannot be read, in words.
    """
    from pydantic import ValidationError

    try:
        return Settings() if db is None else Settings(db=db)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = str(first["msg"]).removeprefix("Value error, ")
        name = str(first["loc"][0]).upper()
        own_names = {field.validation_alias for field in Settings.model_fields.values()}  # those of the peer
        variable = name if name in own_names else f"MUSTERD_{name}"
        raise StartError(f"{variable}: {problem} — correct or unset the variable") from error
