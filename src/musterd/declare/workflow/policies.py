"""Names of Agno for the values of ``on_reject`` and ``on_error``, which may be strings as well."""

from enum import StrEnum


class OnReject(StrEnum):
    """What happens if a person rejects a step."""

    skip = "skip"
    cancel = "cancel"
    else_branch = "else"


class OnError(StrEnum):
    """What happens after the last try of a step failed."""

    fail = "fail"
    skip = "skip"
    pause = "pause"
