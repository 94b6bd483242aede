"""The result of one check of ``musterd doctor``."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    :param level: ``ok``, ``warn`` (works, but needs attention) or ``fail``.
    :param finding: the state that the check saw, in words without secrets.
    :param cure: what to do; "" if nothing needs to be done.
    """

    name: str
    level: str
    finding: str
    cure: str = ""


def ok(name: str, finding: str) -> Check:
    """A check without problems."""
    return Check(name, OK, finding)


def warn(name: str, finding: str, cure: str) -> Check:
    """A check of something that works but needs attention."""
    return Check(name, WARN, finding, cure)


def fail(name: str, finding: str, cure: str) -> Check:
    """A check of something that does not work."""
    return Check(name, FAIL, finding, cure)
