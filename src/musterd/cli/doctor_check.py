"""The result of one check of ``musterd doctor``."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    :param level: ``ok``, ``warn`` (works, but needs attention) or ``fail``.
    :param found: what the check found, without secrets. A key of ``musterd doctor --json``.
    :param cure: what to do; "" if nothing needs to be done.
    """

    name: str
    level: str
    found: str
    cure: str = ""


def ok(name: str, found: str) -> Check:
    """A check without problems."""
    return Check(name, OK, found)


def warn(name: str, found: str, cure: str) -> Check:
    """A check of something that works but needs attention."""
    return Check(name, WARN, found, cure)


def fail(name: str, found: str, cure: str) -> Check:
    """A check of something that does not work."""
    return Check(name, FAIL, found, cure)


def failure(name: str, message: str) -> Check:
    """A check that ended with an error.

    :param message: of the error, with what to do after a dash.
    """
    problem, _, cure = message.partition(" — ")
    return fail(name, problem, cure)
