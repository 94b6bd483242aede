"""``musterd inspect``: what a source declares, and what musterd does differently."""

from musterd.cli.output import print_json, print_text
from musterd.cli.person_tools import person_flag, tool_text
from musterd.cli.settings import settings_from
from musterd.cli.source import Source, load_source
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Component, Registry, models_of
from musterd.declare.problems import note, noting_problems, reported_together
from musterd.http.auth.modes import auth_mode
from musterd.knowledge.embedding import check_embedder_name
from musterd.models import resolve
from musterd.models.names import describe


def inspect(source: str, *, as_json: bool) -> int:
    """Print the components of ``source`` and the remarks about it. Returns 1 if something is not served, otherwise 0.

    :raises DeclarationError: a declaration is wrong, or cannot be served.
    """
    with reported_together():
        loaded = load_source(source, settings_from(None))
        _note_unknown_names(loaded.registry, loaded.settings)
    mode = auth_mode(loaded.settings)
    is_open = mode == "none" or (loaded.report.requires_tokens is not None and mode != "jwt")
    if as_json:
        print_json(_as_object(loaded))
    else:
        print_text("\n".join(_lines(loaded, is_open=is_open)))
    return int(any(remark.kind == "not served" for remark in loaded.report.remarks))


def _note_unknown_names(registry: Registry, settings: Settings) -> None:
    """Note models and embedders that no machine has. That this one lacks a package or a key does not matter here."""
    for component in registry.agents_and_teams():
        for model in models_of(component):
            if problem := resolve.problem_of_name(model, settings):
                note(DeclarationError(f"{component.spec.declared_at}: {component.spec.label}: {problem}"))
    for knowledge in registry.knowledge.values():
        with noting_problems():
            check_embedder_name(knowledge, settings)


def _lines(loaded: Source, *, is_open: bool) -> list[str]:
    components = [_line(component) for component in loaded.registry.top_level()]
    keys = "JWT_JWKS_FILE" if loaded.report.requires_tokens else "OS_SECURITY_KEY"
    needs = f"needs JWT_VERIFICATION_KEY or {keys} to start" if is_open else "requests need a key or a token"
    access = [f"{loaded.report.requires_access}: {needs}"] if loaded.report.requires_access else []
    remarks = [*access, *loaded.report.lines()]
    return [*components, "", *(remarks or ["musterd serves all of it as it is declared"])]


def _line(component: BaseComponent) -> str:
    facts = [f"{component.kind} {component.id}"]
    if isinstance(component, Component):
        facts.append(describe(component.model).model)
        facts += [component.mode] if component.mode else []
        facts += [f"tools: {', '.join(map(tool_text, component.tools))}"] if component.tools else []
    if component.members:
        facts.append(f"members: {', '.join(member.id for member in component.members)}")
    return " · ".join(facts)


def _person_tools(component: BaseComponent) -> dict[str, str]:
    """The tools for whose calls a run waits for a person, with the option that says so."""
    tools = component.tools if isinstance(component, Component) else ()
    return {tool.name: flag for tool in tools if (flag := person_flag(tool))}


def _as_object(loaded: Source) -> dict[str, object]:
    return {
        "components": [
            {
                "kind": component.kind,
                "id": component.id,
                "name": component.name,
                "model": describe(component.model).model if isinstance(component, Component) else None,
                "tools": [tool.name for tool in component.tools] if isinstance(component, Component) else [],
                "person_tools": _person_tools(component),
                "members": [member.id for member in component.members],
            }
            for component in loaded.registry.top_level()
        ],
        "requires_access": loaded.report.requires_access is not None,
        "remarks": [
            {
                "kind": remark.kind,
                "option": remark.option,
                "text": remark.text,
                "place": None if remark.place is None else str(remark.place),
            }
            for remark in loaded.report.remarks
        ],
    }
