"""Tools of other libraries in ``tools=``: those of Agno, LangChain and pydantic-ai.

An entry is recognized by the names of its classes, and a library is imported only when one of its tools is called. A
tool keeps the JSON schema that its library derives, and each call goes to the library's own entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from musterd.declare.library_tools import agno_tools, langchain_tools, pydantic_ai_tools
from musterd.declare.source_location import Place
from musterd.declare.tools import Tool

_ADAPTERS: dict[tuple[str, str], Callable[[Any, str, Place], list[Tool]]] = {
    ("agno", "Toolkit"): agno_tools.toolkit_tools,
    ("agno", "Function"): agno_tools.function_tools,
    ("langchain_core", "BaseTool"): langchain_tools.single_tool,
    ("langchain_core", "BaseToolkit"): langchain_tools.toolkit_tools,
    ("pydantic_ai", "Tool"): pydantic_ai_tools.single_tool,
    ("pydantic_ai", "AbstractToolset"): pydantic_ai_tools.toolset_tools,
}
"""What reads an entry, by the package and the name of its class or of a base class."""


def library_tools(entry: Any, label: str, place: Place) -> list[Tool] | None:
    """The tools of one entry of ``tools=`` of the component ``label``; None: it is of none of these libraries.

    :raises DeclarationError: it cannot be used.
    """
    for cls in type(entry).__mro__:
        adapter = _ADAPTERS.get((cls.__module__.partition(".")[0], cls.__name__))
        if adapter is not None:
            return adapter(entry, label, place)
    return None


def tools_per_run(entry: Any, label: str, place: Place) -> Callable[..., Any] | None:
    """The function that lists the tools of ``entry`` for each run; None: they are known when it is declared.

    :raises DeclarationError: it cannot be used.
    """
    names = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(entry).__mro__}
    if names & {("pydantic_ai", "Tool"), ("pydantic_ai", "AbstractToolset")}:
        return pydantic_ai_tools.tools_per_run(entry, label, place)
    return None
