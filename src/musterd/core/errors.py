"""All errors of musterd, in one tree.

    MusterdError
    ├── DeclarationError          a team, agent or tool is declared wrongly            (exit 2)
    ├── StartError                the server cannot start                              (exit 2)
    │   └── SchemaTooNew          the database was written by a newer musterd
    ├── RequestError              the response has an error status
    │   ├── BadRequest            400
    │   ├── Unauthenticated       401
    │   │   └── WrongToken        the key or token is wrong
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── MethodNotAllowed      405
    │   ├── RequestTimeout        408
    │   ├── Conflict              409
    │   ├── PayloadTooLarge       413
    │   ├── AddressTooLong        414
    │   ├── CodingNotTaken        415
    │   ├── InvalidInput          422, with a list of problems and their locations
    │   ├── TooManyRequests       429, with Retry-After
    │   ├── HeadTooLarge          431
    │   └── Unavailable           503, with Retry-After
    │       └── StoreUnavailable  the database is temporarily unavailable
    ├── RunFailed                 a run finishes in ERROR, with a code
    │   ├── ModelFailed           the model did not answer
    │   ├── LimitReached          a limit ended the run
    │   │   └── BudgetSpent       a ceiling of its budget was reached
    │   ├── InputCheckError       a hook rejected the input of the run
    │   │   └── OutputCheckError  a hook rejected its output
    │   ├── StepFailed            a step of the workflow failed
    │   ├── LeftUnfinished        another server had not finished the run that was imported
    │   └── ReplayDiverged        a step differs from the one stored under its path
    ├── RunRejected               a person rejected a step, so the run finishes as cancelled
    ├── LeaseLost                 another attempt owns the run, so this one must stop
    └── HandedOver                this attempt stops at a step; another one continues

The first line of a class's docstring is its default message. Clients only see the message of a RequestError or
RunFailed; the cause is logged with the request id.
"""

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, Self

from musterd.core.jsontypes import Json, JsonObject


class MusterdError(Exception):
    """Something went wrong in musterd."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The error message."""
        return str(self.args[0])


class DeclarationError(MusterdError):
    """A team, agent or tool is declared wrongly."""


class StartError(MusterdError):
    """The server cannot start."""


class SchemaTooNew(StartError):
    """The database was written by a newer musterd."""


class RequestError(MusterdError):
    """The request cannot be answered."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    retry_after_seconds: int | None = None


class BadRequest(RequestError):
    """Bad request"""

    status = 400
    code = "BAD_REQUEST"


class Unauthenticated(RequestError):
    """Authorization header required"""

    status = 401
    code = "UNAUTHENTICATED"


class WrongToken(Unauthenticated):
    """Invalid authentication token"""


class Forbidden(RequestError):
    """Insufficient permissions"""

    status = 403
    code = "FORBIDDEN"


class NotFound(RequestError):
    """Not found"""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    """Method Not Allowed"""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class RequestTimeout(RequestError):
    """The request arrived too slowly."""

    status = 408
    code = "REQUEST_TIMEOUT"


class Conflict(RequestError):
    """Conflict"""

    status = 409
    code = "CONFLICT"


class PayloadTooLarge(RequestError):
    """The request body is too large."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"


class AddressTooLong(RequestError):
    """The request URL is too long."""

    status = 414
    code = "URI_TOO_LONG"


class CodingNotTaken(RequestError):
    """Compressed request bodies are not supported; send the body without Content-Encoding."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class InvalidInput(RequestError):
    """Validation error"""

    status = 422
    code = "VALIDATION_ERROR"

    def __init__(self, message: str | None = None, errors: Sequence[JsonObject] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)

    @classmethod
    def at(cls, loc: Sequence[str | int], kind: str, msg: str, value: Json = None) -> Self:
        """An error for one problem at one location, in FastAPI's shape (type, loc, msg, input)."""
        location = ".".join(str(part) for part in loc)
        return cls(f"{location}: {msg}", [{"type": kind, "loc": list(loc), "msg": msg, "input": value}])


class TooManyRequests(RequestError):
    """Too many runs are waiting; try again later."""

    status = 429
    code = "RATE_LIMITED"
    retry_after_seconds = 5

    def __init__(self, message: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class HeadTooLarge(RequestError):
    """The request headers are too large or too many."""

    status = 431
    code = "REQUEST_HEADERS_TOO_LARGE"


class Unavailable(RequestError):
    """The server cannot take this request now; try again later."""

    status = 503
    code = "UNAVAILABLE"
    retry_after_seconds = 2


class StoreUnavailable(Unavailable):
    """The database cannot be used now; try again later."""

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or self.message
        """What happened and what to do, for the operator. It names the database, so clients must not see it."""


class RunFailed(MusterdError):
    """The run failed."""

    run_code: ClassVar[str] = "run_failed"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, code: str | None = None, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.code = code or self.run_code
        self.retryable = self.is_retryable if retryable is None else retryable

    @property
    def details(self) -> JsonObject:
        """What clients receive in addition to the code and the message."""
        return {}


class CheckTrigger(Enum):
    """Why a hook rejects an input or output: the ``error_id`` of its error. Any other string works as well."""

    OFF_TOPIC = "off_topic"
    INPUT_NOT_ALLOWED = "input_not_allowed"
    OUTPUT_NOT_ALLOWED = "output_not_allowed"
    VALIDATION_FAILED = "validation_failed"
    PROMPT_INJECTION = "prompt_injection"
    PII_DETECTED = "pii_detected"


class InputCheckError(RunFailed):
    """The input was rejected.

    :param check_trigger: the machine-readable reason.
    :param additional_data: further JSON values that clients receive with the error.
    """

    run_code = "input_check_error"
    default_trigger: ClassVar[CheckTrigger] = CheckTrigger.INPUT_NOT_ALLOWED

    def __init__(
        self,
        message: str | None = None,
        check_trigger: CheckTrigger | str | None = None,
        additional_data: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.check_trigger = check_trigger or self.default_trigger
        self.additional_data = additional_data

    @property
    def type(self) -> str:
        """The code of the error."""
        return self.code

    @property
    def error_id(self) -> str:
        """The reason as a string."""
        trigger = self.check_trigger
        return trigger.value if isinstance(trigger, CheckTrigger) else trigger

    @property
    def details(self) -> JsonObject:
        """What clients receive in addition to the code and the message."""
        data = {} if self.additional_data is None else {"additional_data": self.additional_data}
        return {"error_id": self.error_id, **data}


class OutputCheckError(InputCheckError):
    """The output was rejected."""

    run_code = "output_check_error"
    default_trigger = CheckTrigger.OUTPUT_NOT_ALLOWED


class ModelFailed(RunFailed):
    """The model did not answer.

    :param retries: the tries before the last one, as :class:`musterd.models.call.ModelAnswer` has them.
    """

    run_code = "model_error"

    def __init__(
        self,
        message: str | None = None,
        code: str | None = None,
        *,
        retryable: bool | None = None,
        retries: Sequence[JsonObject] = (),
    ) -> None:
        super().__init__(message, code, retryable=retryable)
        self.retries = retries


class LimitReached(RunFailed):
    """A limit of the run was reached."""

    run_code = "limit_reached"


class BudgetSpent(LimitReached):
    """The budget of the run is spent.

    :param ceiling: the ceiling that was reached: ``tokens``, ``cost_usd``, ``seconds``, ``tool_calls``, ``depth``.
    :param path: the position in the run tree of the run whose budget it is; "" for the root.
    """

    run_code = "budget_spent"

    def __init__(self, message: str | None = None, ceiling: str | None = None, path: str = "") -> None:
        super().__init__(message, None if ceiling is None else f"budget_{ceiling.removesuffix('_usd')}")
        self.path = path


class StepFailed(RunFailed):
    """A step of the workflow failed.

    :param paths: the journal steps that failed: one, or several of parallel branches. A run that continues this one
        makes them again.
    :param unknown_paths: those of functions that may have had their effect. A run that continues this one treats them
        as calls that were cut off.
    """

    run_code = "step_failed"

    def __init__(
        self, message: str | None = None, paths: Sequence[str] = (), unknown_paths: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.paths = list(paths)
        self.unknown_paths = list(unknown_paths)

    @property
    def details(self) -> JsonObject:
        """What clients receive in addition to the code and the message."""
        return {"failed_steps": self.paths, "unknown_steps": self.unknown_paths}


class RunRejected(MusterdError):
    """A person rejected a step of the workflow, and the run finishes as cancelled."""


class LeftUnfinished(RunFailed):
    """The run was not finished when it was imported from another server, so it cannot be continued."""

    run_code = "left_unfinished"


class ReplayDiverged(RunFailed):
    """A step differs from the one that an earlier attempt stored under its path."""

    run_code = "replay_diverged"


class LeaseLost(MusterdError):
    """Another attempt owns this run; this one must stop and write nothing more."""


class HandedOver(MusterdError):
    """This attempt stops before its next step; another attempt continues the run."""
