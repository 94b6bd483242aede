"""A client of a musterd server: start runs, wait for them, follow and steer them. It imports nothing of the server."""

from musterd.client.client import AsyncClient, Client
from musterd.client.decisions import Decision, Requirement
from musterd.client.errors import (
    AnswerError,
    CannotConnect,
    ClientError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotCompleted,
    NotFound,
    RunCancelled,
    RunFailed,
    RunPaused,
    ServerError,
    StillRunning,
    TooManyRequests,
    Unauthorized,
)
from musterd.client.events import Event, EventPage
from musterd.client.records import Approval, Component, Page, Session, Trace
from musterd.client.run_calls import File, StartOptions
from musterd.client.runs import Run, RunError, RunMessage, RunStep, RunSummary

__all__ = [
    "AnswerError",
    "Approval",
    "AsyncClient",
    "CannotConnect",
    "Client",
    "ClientError",
    "Component",
    "Conflict",
    "Decision",
    "Event",
    "EventPage",
    "File",
    "Forbidden",
    "InvalidInput",
    "NotCompleted",
    "NotFound",
    "Page",
    "Requirement",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunMessage",
    "RunPaused",
    "RunStep",
    "RunSummary",
    "ServerError",
    "Session",
    "StartOptions",
    "StillRunning",
    "TooManyRequests",
    "Trace",
    "Unauthorized",
]
