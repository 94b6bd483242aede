"""Answers that many operations share: errors, and the headers that come with them."""

from typing import Any

from musterd.http.openapi.described import Answers, Schema, many, record, ref, text

_DETAIL: Schema = {"type": "string", "title": "Detail", "description": "Error detail message"}
_ERROR_CODE: Schema = {
    "anyOf": [{"type": "string"}, {"type": "null"}],
    "title": "Error Code",
    "description": "Error code for categorization",
}


def _peer_error(name: str, detail: str, code: str) -> Schema:
    """An error as the reference documents it: the first two keys of ours."""
    return {
        "properties": {"detail": _DETAIL, "error_code": _ERROR_CODE},
        "type": "object",
        "required": ["detail"],
        "title": name,
        "example": {"detail": detail, "error_code": code},
    }


_OURS: dict[str, Schema] = {
    "detail": text("What is wrong, in one sentence."),
    "error_code": text("The kind of error, for programs.", examples=["NOT_FOUND"]),
    "request_id": text("The id under which the server's log tells more; the header `X-Request-ID` has it too."),
}

_PROBLEM = record(
    "FieldProblem",
    {
        "type": text("The kind of problem.", examples=["missing"]),
        "loc": many({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "Where it is: the part, then the names."),
        "msg": text("What is wrong there."),
        "input": {"description": "What was given there; null where it is not repeated."},
    },
)

ERROR_SCHEMAS: dict[str, Schema] = {
    "BadRequestResponse": _peer_error("BadRequestResponse", "Bad request", "BAD_REQUEST"),
    "UnauthenticatedResponse": _peer_error("UnauthenticatedResponse", "Unauthenticated access", "UNAUTHENTICATED"),
    "NotFoundResponse": _peer_error("NotFoundResponse", "Not found", "NOT_FOUND"),
    "ValidationErrorResponse": _peer_error("ValidationErrorResponse", "Validation error", "VALIDATION_ERROR"),
    "InternalServerErrorResponse": _peer_error(
        "InternalServerErrorResponse", "Internal server error", "INTERNAL_SERVER_ERROR"
    ),
    "ErrorResponse": record("ErrorResponse", _OURS),
    "FieldProblem": _PROBLEM,
    "InvalidInputResponse": record(
        "InvalidInputResponse",
        {**_OURS, "errors": many(ref("FieldProblem"), "Everything that is wrong, each where it is.")},
    ),
}

_REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}

HEADERS: dict[str, Schema] = {
    "X-Request-ID": {
        "description": "The id of the request: the one that was sent in `X-Request-ID`, else a new one.",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Poll-After": {
        "description": "Seconds after which to ask again, while the run has not ended.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Location": {
        "description": "Where to look next.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "`true` where the same request under the same `Idempotency-Key` was answered before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "ETag": {
        "description": "Changes whenever the answer does; send it in `If-None-Match`.",
        "required": True,
        "schema": {"type": "string"},
    },
}
"""The headers of answers, by the names under which the document has them."""
_SENT_AS = {"Poll-After": "Retry-After"}


def header(name: str) -> Schema:
    """A header of an answer, one of :data:`HEADERS`."""
    return {_SENT_AS.get(name, name): {"$ref": f"#/components/headers/{name}"}}


def answer(description: str, schema: Schema | None = None, *headers: Schema) -> Schema:
    """One answer, with JSON of this schema or without a body."""
    entry: dict[str, Any] = {"description": description, "headers": {**_REQUEST_ID}}
    for item in headers:
        entry["headers"].update(item)
    if schema is not None:
        entry["content"] = {"application/json": {"schema": schema}}
    return entry


_ERRORS: Answers = {
    "400": answer("Bad request", ref("ErrorResponse")),
    "401": answer(
        "The key or token is missing, wrong, or has expired", ref("ErrorResponse"), header("WWW-Authenticate")
    ),
    "403": answer("The `Origin` may not write here", ref("ErrorResponse")),
    "404": answer("Not found", ref("ErrorResponse")),
    "408": answer("The request body came too slowly", ref("ErrorResponse")),
    "409": answer("Conflict", ref("ErrorResponse")),
    "413": answer("The request body is too large", ref("ErrorResponse")),
    "415": answer("The request body is compressed", ref("ErrorResponse")),
    "422": answer("Something in the request is wrong", ref("InvalidInputResponse")),
    "429": answer("Too many runs are waiting", ref("ErrorResponse"), header("Retry-After")),
    "500": answer("Internal server error", ref("ErrorResponse")),
    "503": answer(
        "The server is not ready, or its database cannot be used now", ref("ErrorResponse"), header("Retry-After")
    ),
}


def errors(*statuses: str, **descriptions: str) -> Answers:
    """The error answers of these statuses; ``_404="Run not found"`` sets the description of one.

    :param statuses: in addition to 400 and 500, which every operation has; 413 includes all errors about a body.
    """
    named = {name.removeprefix("_"): words for name, words in descriptions.items()}
    of_body = ("408", "415", "503") if "413" in (*statuses, *named) else ()
    answers = {status: _ERRORS[status] for status in ("400", *statuses, *of_body, *named, "500")}
    return {
        status: {**entry, "description": named.get(status, entry["description"])} for status, entry in answers.items()
    }
