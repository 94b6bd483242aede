"""Tracing: decides whether spans are recorded. OpenTelemetry is imported only if they are."""

import importlib.util
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from musterd.core.errors import StartError
from musterd.core.settings import Settings

if TYPE_CHECKING:
    from musterd.engine.spans import AttemptSpan, Spans
    from musterd.loop.run_tree import RunTree

log = structlog.get_logger("musterd.engine")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
INSTALL = "pip install 'musterd[otel]'"


def spans_of(settings: Settings) -> "Spans | None":
    """The recorder of spans; None if tracing is off.

    :raises StartError: the settings enable tracing, and OpenTelemetry is not installed or cannot be set up.
    """
    if not is_enabled(settings):
        return None
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        if settings.otel:
            raise StartError(f"MUSTERD_OTEL is set, but OpenTelemetry is not installed — {INSTALL}")
        log.warning("OTEL_* names an exporter, but OpenTelemetry is not installed; no spans are exported", do=INSTALL)
        return None
    from musterd.engine.span_export import provider_of
    from musterd.engine.spans import Spans

    captures_content = os.environ.get(CONTENT, "").strip().lower() in ("true", "1", "span_only", "span_and_event")
    return Spans(provider_of(settings), captures_content=captures_content)


def traced(tree: "RunTree", attempt: "AttemptSpan") -> "RunTree":
    """The run tree of an attempt, with steps and models that record spans."""
    from musterd.engine.traced_steps import TracedSteps
    from musterd.models.traced_call import TracedCaller

    caller = TracedCaller(tree.models.caller, captures_content=attempt.spans.captures_content)
    models = replace(tree.models, caller=caller)
    return replace(tree, steps=TracedSteps(tree.steps, attempt), models=models)


def is_enabled(settings: Settings) -> bool:
    """Whether spans are recorded: as the setting says, else if the environment names an exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if settings.otel is not None:
        return settings.otel
    names = {name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")} - {""}
    if names == {"none"}:
        return False
    return bool(names) or any(os.environ.get(name) for name in ENDPOINTS)
