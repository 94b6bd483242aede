"""The further parameters of a function that is a whole workflow, which requests set by name."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from musterd.core import jsontext
from musterd.declare.signature import schema_writer
from musterd.declare.source_location import declaration_error
from musterd.declare.workflow.workflow import Workflow

if TYPE_CHECKING:
    from pydantic import BaseModel

FILLED = ("run_context", "session_state", "dependencies")
"""The parameters that the server fills, in addition to the first two."""


@dataclass(frozen=True, kw_only=True)
class FunctionParameters:
    """The parameters after the workflow and its input.

    :param filled: those of :data:`FILLED` that the function has.
    :param schema: the JSON schema of the others.
    """

    filled: frozenset[str]
    schema: dict[str, Any]
    model: type[BaseModel] = field(repr=False)

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in the fields of a request, converted to the declared types. Unknown fields are left out.

        :raises pydantic.ValidationError: a field is missing or not of its type.
        """
        arguments = self.model.model_validate(
            {name: values[name] for name in self.model.model_fields if name in values}
        )
        return {name: getattr(arguments, name) for name in arguments.model_fields_set}


def read_parameters(spec: Workflow) -> FunctionParameters:
    """The further parameters of the function of ``spec``.

    :raises DeclarationError: it does not take the workflow and the input, or a parameter has no JSON schema.
    """
    from pydantic import PydanticUserError, WrapValidator, create_model

    assert spec.function is not None
    parameters = list(inspect.signature(spec.function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < 2 or any(parameter.kind not in positional for parameter in parameters[:2]):
        problem = f"{spec.label}: its function does not take the workflow and the input"
        raise declaration_error(spec.declared_at, problem, "declare it as `def run(workflow, execution_input): …`")
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = [parameter for parameter in parameters[2:] if parameter.kind in by_name]
    try:
        hints = typing.get_type_hints(spec.function) if own else {}
        fields: dict[str, Any] = {
            parameter.name: (
                Annotated[hints.get(parameter.name, _type_of(parameter.default)), WrapValidator(_read)],
                _default_of(parameter),
            )
            for parameter in own
            if parameter.name not in FILLED
        }
        model = create_model("Parameters", **fields)
        schema = model.model_json_schema(schema_generator=schema_writer())
    except (NameError, TypeError, PydanticUserError) as error:
        problem = f"{spec.label}: the parameters of its function have no JSON schema"
        raise declaration_error(spec.declared_at, problem, str(error).splitlines()[0]) from error
    return FunctionParameters(
        filled=frozenset(parameter.name for parameter in own if parameter.name in FILLED),
        schema={"type": "object", "properties": schema.get("properties", {}), "required": schema.get("required", [])},
        model=model,
    )


def _read(value: Any, validate: Callable[[Any], Any]) -> Any:
    """A value, or the one that its JSON text says: the fields of a form with files are texts."""
    try:
        return validate(value)
    except ValueError:  # pydantic's ValidationError is one
        if not isinstance(value, str):
            raise
        try:
            parsed = jsontext.loads(value)
        except ValueError:
            parsed = value
        return validate(parsed)


def _type_of(default: Any) -> Any:
    """The type of a parameter without a hint: that of its default."""
    return type(default) if isinstance(default, str | int | float | bool) else Any


def _default_of(parameter: inspect.Parameter) -> Any:
    return ... if parameter.default is inspect.Parameter.empty else parameter.default
