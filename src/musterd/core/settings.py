"""Settings: every limit and switch of a server, from the environment.

Names are ``MUSTERD_<FIELD>`` but for those of the peer, which keep the peer's names so that a move needs no change.
``docs/reference/settings.md`` lists them all, under the same headings and in the same order.
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from musterd.core.webhook_addresses import Reach, split
from musterd.core.webhook_secrets import keys_of

Seconds = Annotated[float, Field(ge=0)]
Days = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
"""A count where 0 sets no limit."""

Patience = Annotated[float, Field(gt=0)]
"""Seconds that are more than none."""

Algorithm = Literal["RS256", "ES256", "HS256"]


class Settings(BaseSettings):
    """What a server may do and how much of it."""

    model_config = SettingsConfigDict(
        env_prefix="MUSTERD_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    # The server

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
    log_json: bool = False
    """Log lines as JSON."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least grave lines that are logged."""
    log_requests: bool = False
    """Log a line for every request that was answered."""
    otel: bool | None = None
    """Send spans of runs by OpenTelemetry; None: where an exporter is named by ``OTEL_*``."""
    drain_seconds: Seconds = 20
    """How long running steps may take to finish when the server stops."""
    upkeep_seconds: Seconds = 1
    """How often what nobody else sees to is seen to: dead workers, delayed runs, runs that wait too long."""
    beat_seconds: Seconds = 1
    """How often a process shows that it lives, where others share its database."""
    dead_seconds: Seconds = 4
    """How long a process must not have shown that it lives to be taken for dead."""
    docs_enabled: bool = Field(default=True, validation_alias="DOCS_ENABLED")
    """Serve ``/docs``, ``/redoc`` and ``/openapi.json``. The peer's name: ``DOCS_ENABLED``."""

    # Who may come in

    security_key: str = Field(default="", validation_alias="OS_SECURITY_KEY", repr=False)
    """The key that every request must carry as a bearer token. The peer's name: ``OS_SECURITY_KEY``."""
    jwt_verification_key: str = Field(default="", validation_alias="JWT_VERIFICATION_KEY", repr=False)
    """The key that tokens are checked with: a public key in PEM, or the secret of HS256. The peer's name:
    ``JWT_VERIFICATION_KEY``."""
    jwt_jwks_file: str = Field(default="", validation_alias="JWT_JWKS_FILE")
    """A file with the set of keys (JWKS) that tokens are checked with. The peer's name: ``JWT_JWKS_FILE``."""
    jwt_jwks_url: str = ""
    """The address of such a set, fetched by https."""
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, Field(min_length=1)] = ("RS256",)
    """Algorithms that tokens may be signed with, separated by commas: RS256, ES256, HS256."""
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = ()
    """The audiences (``aud``) whose tokens are taken, separated by commas; empty: any."""
    jwt_issuer: str = ""
    """The issuer (``iss``) whose tokens are taken; empty: any."""
    jwt_scopes_claim: str = "scopes"
    """The claim that has a token's scopes."""
    jwt_leeway_seconds: Seconds = 10
    """How far clocks may be apart when a token's times are checked."""
    auth: Literal["security_key", "jwt"] | None = None
    """What callers must show, where both the key and keys of tokens are set: ``security_key`` or ``jwt``."""
    insecure: bool = False
    """Serve beyond loopback without a key and without tokens."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Further ``Host`` names that a server bound to loopback answers to, separated by commas."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000", "http://127.0.0.1:3000")
    """Browser origins that may call the API, separated by commas; ``*``: any."""

    # How often

    rate_per_minute: Limit = 0
    """Requests that one caller may make a minute; beyond it 429. 0: any number."""
    rate_burst: Count = 20
    """Requests of one caller that may come at once, where their number is limited."""
    auth_failures_per_minute: Limit = 30
    """Wrong keys and tokens that one address may show a minute; beyond it 429. 0: any number."""
    user_queue_depth: Limit = 0
    """Runs of one user that may wait; beyond it a new one is refused with 429. 0: any number."""
    user_concurrency: Limit = 0
    """Runs of one user that are driven at once; others of that user wait. 0: any number."""

    # Connections

    connections: Count = 4096
    """Connections that a process holds at once; beyond it the one that has waited longest for a request goes."""
    connections_per_address: Annotated[int, Field(ge=0)] = 0
    """Connections from one address at once; 0: any number, as behind a proxy."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    """Addresses and networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed, separated by commas."""
    header_seconds: Patience = 10
    """How long the head of a request may take to come, from its first byte or from the connection's first moment."""
    header_bytes: Bytes = 32 * 1024
    """Most bytes of a request's headers, all together."""
    header_count: Count = 100
    """Most headers of a request."""
    url_bytes: Bytes = 16 * 1024
    """Longest address of a request, with its query."""
    keep_alive_seconds: Patience = 75
    """How long a connection is kept open without a request."""
    write_seconds: Patience = 60
    """How often a client that lags behind its answer must have taken a part of it."""
    client_bytes_per_second: Bytes = 1024
    """What a client must send of a body, or take of an answer, on average, after ``body_seconds`` or
    ``write_seconds``."""

    # Runs

    concurrency: Count = 500
    """Runs that a process drives at once. Most of them wait for a model; tools and the local model have limits of
    their own."""
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
    tool_result_stored_bytes: Bytes = 1024 * 1024
    """Longest result of a tool or answer of a member that a leader is given; a longer one is a failed call."""
    tool_arguments_bytes: Bytes = 512 * 1024
    """Longest arguments of one tool call, as JSON; a call with longer ones is not made, and has failed."""
    turn_tool_calls: Count = 128
    """Tool calls that a model may ask for in one turn; beyond it the run ends in ERROR."""
    media_bytes: Bytes = 16 * 1024 * 1024
    """Largest media that one tool call returns, or one answer of a model holds, all together."""
    state_bytes: Bytes = 4 * 1024 * 1024
    """How large a session's state may become by what requests add to it, as JSON, and what one tool call may change."""
    pause_seconds: Seconds = 7 * 24 * 3600
    """How long a paused run waits for a person, in seconds; then what its tools declare counts, or it ends in ERROR."""
    retention_days: Annotated[float, Field(gt=0)] | None = None
    """How long runs are kept after their end, in days; then they go, and sessions that nobody used since.
    None: for ever."""
    delta_days: Annotated[float, Field(gt=0)] | None = None
    """How long the pieces of a streamed text are kept apart after the end of their run, in days; then they are joined.
    None: for ever."""
    cancel_wait_seconds: Seconds = 5
    """How long a cancel request waits for the run to stop, and the deletion of a session for its runs to be gone."""

    # Webhooks

    webhook_secret: str = Field(default="", repr=False)
    """What webhooks are signed with: ``whsec_…``, or a text of your own; several, separated by spaces, all sign.
    Without one runs cannot have a webhook."""
    webhook_urls: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    """Where every run's end and pause is told, beside the run's own ``webhook_url``; separated by commas."""
    webhook_private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks (``10.1.0.0/16``), addresses and host names within private networks that runs' own webhooks may lead to;
    ``webhook_urls`` may lead anywhere."""
    webhook_content: bool = False
    """Whether webhooks are told the answer of a run that completed."""
    webhook_seconds: Annotated[float, Field(gt=0)] = 10
    """How long a webhook may take to answer."""
    webhook_posts: Count = 16
    """Webhooks that a process calls at once."""
    webhook_posts_per_host: Count = 4
    """Webhooks on one host and port that a process calls at once."""
    webhook_days: Days = 30
    """How long the record of a delivery that has ended is kept, in days."""

    # Models

    model_calls: Count = 1000
    """Model calls that a process makes at once; a run makes several at once if its members work side by side."""
    provider_calls: Count = 1000
    """Model calls to one provider that a process makes at once: lower it to what the provider's rate limit allows."""
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
    model_answer_bytes: Bytes = 2 * 1024 * 1024
    """Longest answer of a model: its text, its reasoning, the arguments of its tool calls and the results of tools
    that the provider runs, together."""
    model_received_bytes: Bytes = 256 * 1024 * 1024
    """What a provider may send for one answer, after decompression, in bytes."""
    memory_model: str = ""
    """The model that puts a user's memories together when a request names none: ``provider:model``."""
    tls_verify: bool = True
    """Whether certificates of model providers are checked."""
    local_model: str = ""
    """A GGUF file for the model ``local``, in place of the packaged weights."""
    local_cache: str = ""
    """Folder for the joined weights of the model ``local``; empty: the user's cache folder."""

    # MCP servers

    mcp_message_bytes: Bytes = 4 * 1024 * 1024
    """Largest message of an MCP server, and longest list of its tools. A call whose result is larger fails."""
    mcp_blocks: Count = 1000
    """Most blocks of the result of a call. A call whose result has more fails."""
    mcp_tools: Count = 500
    """Most tools of one MCP server. None of a server that has more can be used."""
    mcp_tool_bytes: Bytes = 64 * 1024
    """Longest definition of one tool. A tool with a longer one is left out."""

    # Requests and streams

    wait_max_seconds: Seconds = 60
    """Longest ``?wait=`` of a poll."""
    body_bytes: Bytes = 32 * 1024 * 1024
    """Largest request body."""
    field_bytes: Bytes = 1024 * 1024
    """Largest text field of a form."""
    uploads_bytes: Bytes = 128 * 1024 * 1024
    """Bodies that are being taken, all requests together; beyond it a request is refused with 503. They need about four
    times as much memory."""
    body_seconds: Patience = 20
    """Longest wait for the next piece of a body."""
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

    @field_validator("auth", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        """An empty variable is as good as none."""
        return value or None

    @field_validator(
        "cors_origins",
        "allowed_hosts",
        "trusted_proxies",
        "jwt_algorithms",
        "jwt_audience",
        "webhook_urls",
        "webhook_private_hosts",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        """Lists come as one text with commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for text in proxies:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"{text} is no address and no network (10.1.0.0/16)") from error
        return proxies

    @field_validator("webhook_urls")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if urls and others.data.get("webhook_secret") == "":
            raise ValueError("needs MUSTERD_WEBHOOK_SECRET, by which receivers tell that a message is this server's")
        for number, url in enumerate(urls, 1):
            if isinstance(problem := split(url), str):
                raise ValueError(f"URL {number}: {problem}")
        return urls

    @field_validator("webhook_private_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        Reach.of(hosts)
        return hosts

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, secret: str) -> str:
        keys_of(secret)
        return secret
