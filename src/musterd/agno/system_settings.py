"""What an ``AgentOS`` says of the server itself, as settings."""

from __future__ import annotations

import typing
from typing import Any

from musterd.core.settings import Algorithm, Settings
from musterd.declare.source_location import Place, declaration_error

CONTROL_PLANE = "https://os.agno.com"
"""The origin of Agno's hosted pages, which are allowed only if the user says so."""
_NAMES = {"id": "os_id", "name": "os_name", "description": "os_description"}


def declared_settings(system: Any, place: Place) -> dict[str, Any]:
    """The settings that an ``AgentOS`` declares: names, CORS origins, security key, and the keys that verify tokens.

    :raises DeclarationError: musterd cannot verify tokens in that way.
    """
    values: dict[str, Any] = {ours: value for name, ours in _NAMES.items() if (value := getattr(system, name))}
    api = system.settings
    passed = frozenset() if api is None else api.model_fields_set
    origins = (*(system.cors_allowed_origins or ()), *(api.cors_origin_list if "cors_origin_list" in passed else ()))
    if origins:
        values["cors_origins"] = tuple(dict.fromkeys((*Settings.model_fields["cors_origins"].default, *origins)))
    if "docs_enabled" in passed:
        values["docs_enabled"] = api.docs_enabled
    # As in Agno, tokens take precedence over a key.
    if not system.authorization and api is not None and api.os_security_key:
        values["security_key"] = api.os_security_key
    if system.authorization and (config := system.authorization_config) is not None:
        values.update(_key_settings(system, config, place))
    return values


def _key_settings(system: Any, config: Any, place: Place) -> dict[str, Any]:
    algorithm, keys = config.algorithm or "RS256", config.verification_keys or []
    if algorithm not in typing.get_args(Algorithm):
        problem = f"AgentOS verifies tokens with {algorithm}"
        raise declaration_error(place, problem, f"use one of {', '.join(typing.get_args(Algorithm))}")
    if len(keys) > 1:
        problem = "AgentOS verifies tokens with several keys"
        raise declaration_error(place, problem, "put them into a key set: jwks_file=, or JWT_JWKS_FILE")
    values = {
        "jwt_verification_key": keys[0] if keys else None,
        "jwt_jwks_file": config.jwks_file,
        "jwt_algorithms": (algorithm,),
        "jwt_audience": (system.id,) if config.verify_audience and system.id else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def with_declared(settings: Settings, declared: dict[str, Any]) -> Settings:
    """``settings`` with those that a file declares, unless the environment sets them or another key."""
    has_access = bool(
        settings.security_key or settings.jwt_verification_key or settings.jwt_jwks_file or settings.jwt_jwks_url
    )
    update = {
        name: value
        for name, value in declared.items()
        if name not in settings.model_fields_set
        and not (has_access and (name.startswith("jwt_") or name == "security_key"))
    }
    return settings.model_copy(update=update) if update else settings
