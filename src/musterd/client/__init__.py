"""A client of a musterd server: start runs, wait for them, follow and steer them. It imports nothing of the server."""

from .approvals import Approval
from .client import AsyncClient, Client
from .components import Component
from .decisions import Decision, Requirement
from .errors import (
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
from .events import Event, EventPage
from .knowledge import Content, SearchHit
from .memories import Memory
from .paging import Page
from .run_calls import StartOptions
from .runs import Run, RunError, RunMedia, RunMessage, RunStep, RunSummary
from .schedules import Firing, Schedule
from .sessions import Session
from .traces import Trace
from .uploads import File

__all__ = [
    "AnswerError",
    "Approval",
    "AsyncClient",
    "CannotConnect",
    "Client",
    "ClientError",
    "Component",
    "Conflict",
    "Content",
    "Decision",
    "Event",
    "EventPage",
    "File",
    "Firing",
    "Forbidden",
    "InvalidInput",
    "Memory",
    "NotCompleted",
    "NotFound",
    "Page",
    "Requirement",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunMedia",
    "RunMessage",
    "RunPaused",
    "RunStep",
    "RunSummary",
    "Schedule",
    "SearchHit",
    "ServerError",
    "Session",
    "StartOptions",
    "StillRunning",
    "TooManyRequests",
    "Trace",
    "Unauthorized",
]
