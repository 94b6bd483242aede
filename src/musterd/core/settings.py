"""Settings: every limit and switch of a server, from the environment.

Names are ``MUSTERD_<FIELD>`` but for those of the peer, which keep the peer's names so that a move needs no change.
``docs/reference/settings.md`` lists them all.
"""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """What a server may do and how much of it."""

    model_config = SettingsConfigDict(env_prefix="MUSTERD_", frozen=True, extra="ignore", populate_by_name=True)

    db: str = "sqlite:///musterd.db"
    """Where the records live: ``sqlite:///relative/path``, ``sqlite:////absolute/path``,
    ``postgresql://user@host/name``."""
    db_connections: Count = 10
    """Connections to Postgres that a process opens at most for its work; two more hear of changes and show that it
    lives."""
    db_prepares: bool = True
    """Whether Postgres is to prepare statements; false behind a pooler that cannot have that."""
    os_id: str = "musterd"
    """The id that ``/``, ``/config`` and ``/info`` give."""
    os_name: str = "musterd"
    """The name that ``/`` and ``/info`` give."""
    os_description: str = ""
    """The description that ``/config`` gives."""
    location: str = ""
    """Where the server's users are, for agents and teams with ``add_location_to_context``: "Lisbon, Portugal"."""
    concurrency: Count = 32
    """Runs that a process drives at once."""
    queue_depth: Count = 10_000
    """Runs that may wait; beyond it a new run is refused with 429."""
    run_seconds: Seconds = 3600
    """Longest time that an attempt of a run may take, in seconds; then the run ends in ERROR."""
    max_turns: Count = 50
    """Model calls that one agent or leader may make in one run."""
    max_depth: Count = 5
    """How deep teams may be nested in a run."""
    tool_threads: Count = 32
    """Threads for tools that are plain functions."""
    tool_result_bytes: Bytes = 256 * 1024
    """What of a tool's result the model is shown."""
    model_calls: Count = 64
    """Model calls that a process makes at once."""
    provider_calls: Count = 32
    """Model calls to one provider that a process makes at once."""
    model_tries: Count = 3
    """Tries of one model call."""
    model_retry_seconds: Seconds = 5
    """Waiting between the tries of one model call, in all, in seconds."""
    model_connect_seconds: Seconds = 10
    """Longest wait for a connection to a model's provider."""
    model_first_byte_seconds: Seconds = 120
    """Longest wait for the first byte of a model's answer."""
    model_chunk_seconds: Seconds = 60
    """Longest wait between two chunks of a model's answer."""
    pause_seconds: Seconds = 7 * 24 * 3600
    """How long a paused run waits for a person, in seconds; then what its tools declare counts, or it ends in ERROR."""
    delta_seconds: Seconds = 0.05
    """How long text deltas are collected before they are stored and sent."""
    first_delta_seconds: Seconds = 0.004
    """The same for a stream that has a reader and nothing sent yet."""
    session_look_seconds: Seconds = 1
    """How often a stream of a session looks for runs that another process accepted."""
    ping_seconds: Seconds = 15
    """Time between comments on an idle stream."""
    stream_buffer_bytes: Bytes = 4 * 1024 * 1024
    """What a stream's reader may lag behind before it is dropped (it can resume)."""
    stream_gzip: bool = True
    """Whether streams are compressed for clients that take gzip."""
    disconnect_seconds: Seconds = 10
    """How long the run of an abandoned stream goes on before it is cancelled."""
    drain_seconds: Seconds = 20
    """How long running steps may take to finish when the server stops."""
    upkeep_seconds: Seconds = 1
    """How often what nobody else sees to is seen to: dead workers, delayed runs, runs that wait too long."""
    beat_seconds: Seconds = 1
    """How often a process shows that it lives, where others share its database."""
    dead_seconds: Seconds = 4
    """How long a process must not have shown that it lives to be taken for dead."""
    cancel_wait_seconds: Seconds = 5
    """How long a cancel request waits for the run to stop."""
    wait_max_seconds: Seconds = 60
    """Longest ``?wait=`` of a poll."""
    body_bytes: Bytes = 32 * 1024 * 1024
    """Largest request body."""
    field_bytes: Bytes = 1024 * 1024
    """Largest text field of a form."""
    tls_verify: bool = True
    """Whether certificates of model providers are checked."""
    insecure: bool = False
    """Serve beyond loopback without a key."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000", "http://127.0.0.1:3000")
    """Browser origins that may call the API, separated by commas."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Further ``Host`` names that a server bound to loopback answers to, separated by commas."""
    log_json: bool = False
    """Log lines as JSON."""
    local_model: str = ""
    """A GGUF file for the model ``local``, in place of the packaged weights."""
    local_cache: str = ""
    """Folder for the joined weights of the model ``local``; empty: the user's cache folder."""
    security_key: str = Field(default="", validation_alias="OS_SECURITY_KEY", repr=False)
    """The key that every request must carry as a bearer token. The peer's name: ``OS_SECURITY_KEY``."""
    docs_enabled: bool = Field(default=True, validation_alias="DOCS_ENABLED")
    """Serve ``/docs``, ``/redoc`` and ``/openapi.json``. The peer's name: ``DOCS_ENABLED``."""

    @field_validator("cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Lists come as one text with commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
