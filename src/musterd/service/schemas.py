"""The form that a request asks its answer to have, checked before the run is accepted."""

from musterd.core.errors import InvalidInput
from musterd.core.records import Input
from musterd.specs import named_schema

_WHERE = ("body", "output_schema")


def require_output_schema(asked: Input) -> None:
    """Check that what is asked for is a JSON schema that stands by itself: nothing is fetched, no file is read.

    :raises InvalidInput: it is none.
    """
    declared = asked.options.get("output_schema")
    if declared is None:
        return
    import jsonschema_rs

    try:
        _, schema = named_schema(declared)
        jsonschema_rs.validator_for(schema, offline=True)
    except jsonschema_rs.ValidationError as error:
        raise InvalidInput.at(_WHERE, "json_schema", f"Input should be a JSON schema: {error.message}") from error
    except (TypeError, ValueError) as error:
        raise InvalidInput.at(_WHERE, "json_schema", "Input should be a JSON schema") from error
