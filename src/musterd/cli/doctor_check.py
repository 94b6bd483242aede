"""What a check of ``musterd doctor`` says."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    :param level: ``ok``, ``warn`` (it works, and should be looked at) or ``fail``.
    :param found: what is so; never a secret.
    :param cure: what to do; "" where there is nothing to do.
    """

    name: str
    level: str
    found: str
    cure: str = ""


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, OK, found)


def warn(name: str, found: str, cure: str) -> Check:
    """It works, and should be looked at."""
    return Check(name, WARN, found, cure)


def fail(name: str, found: str, cure: str) -> Check:
    """It does not work."""
    return Check(name, FAIL, found, cure)
