"""Searching runs by a text in their message, their answer or their id.

No index finds a part of a text, so a search compares the newest runs that its other conditions leave, up to a limit.
"""

from musterd.core import jsontext
from musterd.store.list_conditions import like_literal

SEARCHED_RUNS = 5_000
"""How many runs a request searches at most."""

# The JSON texts of run_io begin with the message and the answer (Input.as_json, Output.as_json), after a name of twelve
# characters. What ends them cannot be a part of them: there, quotes are escaped. The error is after the answer.
_MESSAGE = """substr(io.input, 13, CASE WHEN strpos(io.input, '","media":{') > 0 THEN strpos(io.input, '","media":{')
                                       WHEN strpos(io.input, '","options":{') > 0
                                       THEN strpos(io.input, '","options":{') ELSE length(io.input) END - 13)"""
_ANSWER = """substr(io.output, 13, CASE WHEN strpos(io.output, ',"content_type":') > 13
                                        THEN strpos(io.output, ',"content_type":') - 13 ELSE 0 END)"""
_TO_ERROR = """substr(io.output, strpos(io.output, '"error":{"code":'))"""
_ERROR_START = f"""(strpos({_TO_ERROR}, '"message":"') + 11)"""
_ERROR_END = f"""strpos({_TO_ERROR}, ',"retryable":')"""
_ERROR = f"""substr({_TO_ERROR}, {_ERROR_START},
                    CASE WHEN {_ERROR_END} > {_ERROR_START} THEN {_ERROR_END} - {_ERROR_START} ELSE 0 END)"""
_LIKE = "LIKE lower(:pattern) ESCAPE '\\'"
MATCHES = f"""(lower(r.run_id) {_LIKE} OR lower({_MESSAGE}) {_LIKE}
               OR (io.output IS NOT NULL AND ((substr(io.output, 12, 4) <> 'null' AND lower({_ANSWER}) {_LIKE})
                                              OR (r.state = 'error' AND lower({_ERROR}) {_LIKE}))))"""
"""The condition that a run ``r`` with its ``io`` contains ``:pattern``, in any case."""


def like_pattern(text: str) -> str:
    """The pattern that finds ``text`` in JSON."""
    return f"%{like_literal(jsontext.dumps(text)[1:-1])}%"
