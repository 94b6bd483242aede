"""The exporter of spans: the application's own provider if it has one, else the exporter that ``OTEL_*`` names."""

import importlib
import os

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import musterd
from musterd.core.errors import StartError
from musterd.core.settings import Settings

PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def provider_of(settings: Settings) -> TracerProvider:
    """The tracer provider that spans go to.

    :raises StartError: the environment names an exporter that does not exist.
    """
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):  # of the application that musterd is embedded in
        return existing
    service_name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": settings.os_id}
    resource = Resource.create({**service_name, "service.version": musterd.__version__})
    # By default the SDK follows the caller's sampling flag, and any client could keep its runs from being recorded.
    sampler = None if os.environ.get("OTEL_TRACES_SAMPLER") else ALWAYS_ON
    # At exit the SDK would wait for a collector that does not answer. The server exports what is left itself, within a
    # limit.
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    for name in (name.strip() for name in exporters):
        if name not in ("", "none"):
            provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return provider


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter()
    if name != "otlp":
        raise StartError(f"OTEL_TRACES_EXPORTER: '{name}' is not a known exporter — use otlp, console or none")
    protocol = next((os.environ[variable] for variable in PROTOCOLS if os.environ.get(variable)), "http/protobuf")
    if protocol == "grpc":
        try:
            grpc = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
        except ImportError as error:
            raise StartError(
                "OTEL_EXPORTER_OTLP_PROTOCOL: grpc requires a missing package — "
                "pip install opentelemetry-exporter-otlp-proto-grpc, or use http/protobuf"
            ) from error
        exporter: SpanExporter = grpc.OTLPSpanExporter()
        return exporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
