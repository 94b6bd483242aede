"""Converts the options of Agno's agents and teams whose values have another form in musterd."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from musterd.agno.culture import OPTIONS as CULTURE_OPTIONS
from musterd.agno.culture import Culture
from musterd.agno.functions import is_team, with_agno_values
from musterd.agno.hooks import converted_hooks, file_writer
from musterd.agno.knowledge import retriever_of
from musterd.agno.learning import Learning
from musterd.agno.tools import converted_tools, with_tools
from musterd.agno.user_learning import UserLearning
from musterd.declare import Agent, MemoryManager, SessionSummaryManager, Team
from musterd.declare.compression_manager import CompressionManager
from musterd.declare.problems import noting_problems
from musterd.declare.source_location import Place, declaration_error

if TYPE_CHECKING:
    from musterd.agno.components import Components

_OF_AGNO = "kept by Agno, in the database of the file"
_MODEL_OPTIONS = ("model", "reasoning_model", "parser_model", "output_model")


class OptionConversion:
    """The conversion of the options of one agent or team.

    :param options: the options of musterd's declaration, which it completes.
    """

    def __init__(
        self, components: Components, declared: Any, label: str, place: Place, options: dict[str, Any]
    ) -> None:
        self._components = components
        self._declared = declared
        self._label = label
        self._place = place
        self._options = options

    def _set(self, name: str, value: Any) -> None:
        if value is not None:
            self._options[name] = value

    def _model(self, model: Any) -> Any:
        return self._components.models.convert(model, self._label, self._place)

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return with_agno_values(function, self._declared)

    def models(self) -> None:
        """The models, and the agent that reasons."""
        for name in _MODEL_OPTIONS:
            with noting_problems(self._place):
                self._set(name, self._model(getattr(self._declared, name, None)))
        if self._declared.reasoning_agent is not None:
            self._set("reasoning_agent", self._components.convert(self._declared.reasoning_agent, self._place))

    def prompt(self) -> None:
        """What the prompt consists of."""
        for name in ("instructions", "system_message"):
            value = getattr(self._declared, name, None)
            value = getattr(value, "content", value)  # a Message of Agno
            self._set(name, self._function(value) if callable(value) else value)
        if dependencies := self._declared.dependencies:
            functions = {name: value for name, value in dependencies.items() if callable(value)}
            converted: dict[str, Any] = {name: self._function(value) for name, value in functions.items()}
            for function in converted.values():
                function.is_called_first = True  # before the pre-hooks and the function in tools=, as in Agno
            self._set("dependencies", {**dependencies, **converted})
        if examples := self._declared.additional_input:
            self._set("additional_input", [_example(example) for example in examples])

    def tools(self) -> None:
        """Tools, hooks, skills, and the search in knowledge."""
        declared, place = self._declared, self._place
        retry_safe = self._components.retry_safe_tools
        self._set("tools", converted_tools(declared.tools, declared, self._label, place, retry_safe))
        self._set("tool_hooks", [self._function(hook) for hook in declared.tool_hooks or ()] or None)
        self._hooks()
        if (skills := getattr(declared, "skills", None)) is not None:
            self._add_tools(skills.get_tools())
            texts = (self._options.get("additional_context"), skills.get_system_prompt_snippet())
            self._set("additional_context", "\n\n".join(text for text in texts if text))
        self._knowledge()

    def _hooks(self) -> None:
        declared, components = self._declared, self._components
        skip_evals = components.models.are_replaced
        for name in ("pre_hooks", "post_hooks"):
            hooks = converted_hooks(name, declared, self._label, self._place, components.report, skip_evals=skip_evals)
            self._set(name, hooks or None)
        if pattern := getattr(declared, "save_response_to_file", None):
            self._options["post_hooks"] = [*self._options.get("post_hooks", ()), file_writer(pattern, declared)]

    def _add_tools(self, tools: Sequence[Any]) -> None:
        """Add Agno's tools to the declared list of tools, or to the result of the declared function."""
        retry_safe = self._components.retry_safe_tools
        added = converted_tools(tools, self._declared, self._label, self._place, retry_safe)
        assert isinstance(added, list)
        self._options["tools"] = with_tools(self._options.get("tools", ()), added)

    def _knowledge(self) -> None:
        retriever, knowledge = self._declared.knowledge_retriever, self._declared.knowledge
        if retriever is not None:
            self._set("knowledge_retriever", self._function(retriever))
        elif knowledge is not None:
            if callable(knowledge) and not hasattr(knowledge, "search"):
                problem = f"{self._label}: knowledge is a function"
                raise declaration_error(self._place, problem, "use a Knowledge object, or knowledge_retriever")
            self._set("knowledge_retriever", retriever_of(knowledge))
            if self._declared.update_knowledge:
                self._add_tools([self._declared.add_to_knowledge])

    def managers(self) -> None:
        """What summarizes, compresses, remembers and learns."""
        declared = self._declared
        if (manager := declared.session_summary_manager) is not None:
            self._set("session_summary_manager", self._manager(SessionSummaryManager, manager))
            self._set("enable_session_summaries", True)
        if (manager := declared.compression_manager) is not None:
            self._set("compression_manager", self._manager(CompressionManager, manager))
        if (manager := declared.memory_manager) is not None:
            self._set("memory_manager", self._manager(MemoryManager, manager))
        if declared.learning:
            self._learning(declared.learning)
            if not declared.add_learnings_to_context:
                self._set("add_memories_to_context", False)

    def _manager(self, cls: type, manager: Any) -> Any:
        """A manager of musterd with the values of Agno's manager of the same name."""
        names = {field.name for field in dataclasses.fields(cls) if field.init}
        values = {name: value for name in names if (value := getattr(manager, name, None)) is not None}
        if "model" in values:
            values["model"] = self._model(values["model"])
        return cls(**values)

    def _learning(self, declared: Any) -> None:
        if declared is True:
            self._set("learning", True)
            return
        report = self._components.report
        of_users = UserLearning(declared, lambda option, text: report.here(option, text, self._place))
        if of_users.is_used:
            self._set("learning", True)
            self._set("enable_agentic_memory", of_users.is_agentic or None)
            self._set("memory_manager", of_users.manager(self._options.get("memory_manager"), self._model))
        learning = Learning(declared, self._declared)
        if not learning.stores:
            return
        stores = ", ".join(learning.stores)
        self._components.report.here(f"learning: {stores}", _OF_AGNO, self._place)
        self._add_tools(learning.tools())
        if self._declared.add_learnings_to_context:
            self._add_to_prompt(learning.with_context)
        self._after_run(learning.after_run(), f"learning: {stores}")

    def culture(self) -> None:
        """Cultural knowledge, which Agno's ``CultureManager`` reads and writes."""
        declared = self._declared
        if not any(getattr(declared, name, None) for name in CULTURE_OPTIONS):
            return
        culture = Culture(declared)
        self._components.report.here("culture", _OF_AGNO, self._place)
        if declared.enable_agentic_culture and not self._components.models.are_replaced:
            self._add_tools([culture.tool()])
        if declared.add_culture_to_context is not False:
            self._add_to_prompt(culture.with_context)
        if declared.update_cultural_knowledge or declared.enable_agentic_culture:
            self._after_run(culture.after_run() if declared.update_cultural_knowledge else None, "culture")

    def _add_to_prompt(self, with_context: Callable[[Any], Callable[..., Any]]) -> None:
        """Let a function add to the instructions. As in Agno, it has no effect if there is a system message."""
        if "system_message" not in self._options:
            self._set("instructions", with_context(self._options.get("instructions")))

    def _after_run(self, hook: Callable[..., Any] | None, option: str) -> None:
        """Call a hook after each run, unless a setting replaces the models, one of which it would call."""
        if self._components.models.are_replaced:
            difference = "models add nothing while MUSTERD_MODEL_OVERRIDE replaces them"
            self._components.report.here(option, difference, self._place)
        elif hook is not None:
            self._options["post_hooks"] = [*self._options.get("post_hooks", ()), hook]

    def team(self) -> None:
        """Members and mode of a team."""
        if not is_team(self._declared):
            return
        mode, members = self._declared.mode, self._declared.members
        self._set("mode", mode.value if isinstance(mode, enum.Enum) else mode)
        if callable(members):
            self._set("members", _member_function(self._function(members), self._components))
            return
        converted = []
        for member in members:
            with noting_problems(self._place):
                converted.append(self._components.convert(member, self._place))
        self._set("members", converted)


def _example(example: Any) -> Any:
    """One message of ``additional_input``."""
    if isinstance(example, str | dict):
        return example
    if hasattr(example, "role"):
        return {"role": example.role, "content": example.get_content_string()}
    return example.model_dump_json()


def _member_function(function: Callable[..., Any], components: Components) -> Callable[..., Any]:
    """A function that returns the members of a run, from Agno's function for the same."""

    async def members(**values: Any) -> list[Agent | Team]:
        returned = function(**values)
        if inspect.isawaitable(returned):
            returned = await returned
        of_run = components.for_one_run()
        return [of_run.convert(member) for member in returned or ()]

    members.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return members
