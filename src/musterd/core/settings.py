"""Settings: every limit and switch of a server, read from the environment.

Variables are named ``MUSTERD_<FIELD>``, except those that AgentOS has too: they keep its names, so that moving from
AgentOS needs no change.
``docs/reference/settings.md`` lists them all, under the same headings and in the same order.
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from musterd.core.nats_addresses import split_servers
from musterd.core.webhook_addresses import Reach, split
from musterd.core.webhook_secrets import keys_of

Seconds = Annotated[float, Field(ge=0)]
Days = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
"""A count; 0 means no limit."""

PositiveSeconds = Annotated[float, Field(gt=0)]
"""A duration above 0."""

Algorithm = Literal["RS256", "ES256", "HS256"]


class Settings(BaseSettings):
    """The settings of a server."""

    model_config = SettingsConfigDict(
        env_prefix="MUSTERD_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    # The server

    db: str = "sqlite:///musterd.db"
    """The database URL: ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or
    ``postgresql://user@host/name``."""
    db_connections: Count = 10
    """Maximum number of Postgres connections of a process, plus one for heartbeats. Writes use at most three quarters
    of them."""
    db_prepares: bool = True
    """Whether Postgres prepares statements. Set it to false behind a connection pooler that does not support prepared
    statements."""
    bus: str = Field(default="", repr=False)
    """NATS servers through which processes on one Postgres database wake each other, as ``nats://host:4222``, separated
    by commas. If empty, all processes are on one machine and poll the database."""
    bus_prefix: str = Field(default="musterd", pattern=r"^[\w-]+(\.[\w-]+)*$")
    """Prefix of all subjects on NATS. Databases that share NATS need different ones."""
    bus_credentials_file: str = ""
    """File with the NATS credentials (``.creds``: a token and its key)."""
    bus_ca_file: str = ""
    """CA certificates (PEM) for the NATS servers; by default the system's. With this setting, or with ``tls://`` in
    ``bus``, servers without TLS are rejected."""
    bus_certificate_file: str = ""
    """File with the client certificate and its key (PEM), for NATS servers that verify clients."""
    bus_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Number of NATS servers that store each message about a ready run; use 3 in a cluster. Applies when the stream is
    created."""
    os_id: str = "musterd"
    """The id in the responses of ``/``, ``/config`` and ``/info``."""
    os_name: str = "musterd"
    """The name in the responses of ``/`` and ``/info``."""
    os_description: str = ""
    """The description in the response of ``/config``."""
    location: str = ""
    """The location of the users, for agents and teams with ``add_location_to_context``, like "Lisbon, Portugal"."""
    log_json: bool = False
    """Write log lines as JSON."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum log level."""
    log_requests: bool = False
    """Log a line for every request."""
    otel: bool | None = None
    """Export spans of runs with OpenTelemetry. None: only if an exporter is configured by ``OTEL_*``."""
    drain_seconds: Seconds = 20
    """How long running steps may take to finish when the server stops."""
    upkeep_seconds: Seconds = 1
    """Interval of the upkeep task, which handles dead workers, delayed runs and expired waits."""
    beat_seconds: Seconds = 1
    """Interval of heartbeats. A process that drives no run and has the database to itself stores none."""
    dead_seconds: Seconds = 4
    """A process without a heartbeat for this long is considered dead."""
    docs_enabled: bool = Field(default=True, validation_alias="DOCS_ENABLED")
    """Serve ``/docs``, ``/redoc`` and ``/openapi.json``. AgentOS's name: ``DOCS_ENABLED``."""

    # Authentication

    security_key: str = Field(default="", validation_alias="OS_SECURITY_KEY", repr=False)
    """The key that every request must carry as a bearer token. AgentOS's name: ``OS_SECURITY_KEY``."""
    jwt_verification_key: str = Field(default="", validation_alias="JWT_VERIFICATION_KEY", repr=False)
    """The key that verifies tokens: a public key in PEM, or the secret of HS256. AgentOS's name:
    ``JWT_VERIFICATION_KEY``."""
    jwt_jwks_file: str = Field(default="", validation_alias="JWT_JWKS_FILE")
    """A file with the key set (JWKS) that verifies tokens. AgentOS's name: ``JWT_JWKS_FILE``."""
    jwt_jwks_url: str = ""
    """The https URL of a key set (JWKS)."""
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, Field(min_length=1)] = ("RS256",)
    """Accepted signature algorithms, separated by commas: RS256, ES256, HS256."""
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = ()
    """Accepted audiences (``aud``) of tokens, separated by commas; empty: any."""
    jwt_issuer: str = ""
    """Accepted issuer (``iss``) of tokens; empty: any."""
    jwt_scopes_claim: str = "scopes"
    """The claim that contains the scopes of a token."""
    jwt_leeway_seconds: Seconds = 10
    """Tolerated clock difference when the times in a token are checked."""
    auth: Literal["security_key", "jwt"] | None = None
    """The authentication method if both the key and token keys are set: ``security_key`` or ``jwt``."""
    insecure: bool = False
    """Allow serving beyond loopback without a key or tokens."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Additional ``Host`` names that a server bound to loopback accepts, separated by commas."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000", "http://127.0.0.1:3000")
    """Browser origins that may call the API, separated by commas; ``*``: any."""

    # Rate limits

    rate_per_minute: Limit = 0
    """Requests per minute and caller; any more get 429. 0: no limit."""
    rate_burst: Count = 20
    """Requests of one caller that may arrive at once, if ``rate_per_minute`` is set."""
    auth_failures_per_minute: Limit = 30
    """Wrong keys and tokens per minute and address; any more get 429. 0: no limit."""
    user_queue_depth: Limit = 0
    """Waiting runs per user; any more get 429. 0: no limit."""
    user_concurrency: Limit = 0
    """Runs per user that execute at the same time; further ones wait. 0: no limit."""

    # Connections

    connections: Count = 4096
    """Open connections per process. Beyond it the connection that has been idle longest is closed."""
    connections_per_address: Annotated[int, Field(ge=0)] = 0
    """Open connections per client address. 0: no limit, for servers behind a proxy."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    """Addresses and networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` headers are trusted, separated by
    commas."""
    header_seconds: PositiveSeconds = 10
    """How long the head of a request may take, from its first byte or from the start of the connection."""
    header_bytes: Bytes = 32 * 1024
    """Largest total size of the headers of a request."""
    header_count: Count = 100
    """Most headers of a request."""
    url_bytes: Bytes = 16 * 1024
    """Longest URL of a request, including the query."""
    keep_alive_seconds: PositiveSeconds = 75
    """How long an idle connection is kept open."""
    write_seconds: PositiveSeconds = 60
    """How long a client that reads a response slowly may go without reading anything."""
    client_bytes_per_second: Bytes = 1024
    """Average rate at which a client must send a body or read a response, after ``body_seconds`` or
    ``write_seconds``."""

    # Runs

    concurrency: Count = 500
    """Runs that a process executes at the same time. Most of them wait for a model; tools and the local model have
    limits of their own."""
    queue_depth: Count = 10_000
    """Waiting runs; beyond it a new run is rejected with 429."""
    run_seconds: Seconds = 3600
    """Longest duration of an attempt; after it the run finishes in ERROR."""
    max_turns: Count = 50
    """Most model calls of one agent or leader in one run."""
    max_workflow_steps: Count = 10_000
    """Most steps of one run of a workflow, each iteration of a loop counted."""
    max_depth: Count = 5
    """How deeply teams may be nested in a run."""
    tool_threads: Count = 32
    """Threads for tools that are synchronous functions. If functions run on after their time, up to three times as many
    more."""
    tool_result_bytes: Bytes = 256 * 1024
    """How much of a tool result the model receives."""
    tool_result_stored_bytes: Bytes = 1024 * 1024
    """Longest tool result, or answer of a member to its leader. A call with a longer one fails."""
    tool_arguments_bytes: Bytes = 512 * 1024
    """Longest arguments of one tool call, as JSON. A call with longer ones fails without being made."""
    turn_tool_calls: Count = 128
    """Most tool calls that a model may request in one turn; beyond it the run finishes in ERROR."""
    retry_safe_tools: Annotated[tuple[str, ...], NoDecode] = ()
    """Names of tools in a file of Agno, separated by commas, that are called again if a crash cut off a call. Agno's
    own declarations cannot say so."""
    media_bytes: Bytes = 16 * 1024 * 1024
    """Largest total media of one tool result or one answer of a model."""
    state_bytes: Bytes = 4 * 1024 * 1024
    """Largest session state, as JSON, to which requests may add, the largest change by one tool call, and the largest
    results of other tasks that one call passes on to members in the mode ``tasks``."""
    pause_seconds: Seconds = 7 * 24 * 3600
    """How long a paused run waits for a person. After it the default decision of the tool applies, or the run finishes
    in ERROR."""
    retention_days: Annotated[float, Field(gt=0)] | None = None
    """How many days finished runs are kept, and sessions that have not been used since. None: forever."""
    delta_days: Annotated[float, Field(gt=0)] | None = None
    """How many days after the end of a run the deltas of a streamed text stay separate before they are joined. None:
    forever."""
    schedule_scope_days: Days | None = None
    """How many days a schedule may act with the scopes of the token with which a user created or changed it last. None:
    forever. Service accounts are looked up at each firing instead."""
    cancel_wait_seconds: Seconds = 5
    """How long a cancel request waits for the run to stop, and the deletion of a session for its runs to stop."""

    # Webhooks

    webhook_secret: str = Field(default="", repr=False)
    """The secret that signs webhooks: ``whsec_…`` or any text. Several, separated by spaces, all sign. Without one,
    runs cannot have a webhook."""
    webhook_urls: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    """URLs that receive the end and the pauses of every run, in addition to the run's own ``webhook_url``; separated by
    commas."""
    webhook_private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks (``10.1.0.0/16``), addresses and host names in private networks that runs' own webhooks may use.
    ``webhook_urls`` may use any address."""
    webhook_content: bool = False
    """Whether webhooks contain the answer of a completed run."""
    webhook_seconds: Annotated[float, Field(gt=0)] = 10
    """Timeout of a webhook request."""
    webhook_posts: Count = 16
    """Webhook requests that a process makes at the same time."""
    webhook_posts_per_host: Count = 4
    """Webhook requests that a process makes at the same time to one host and port."""
    webhook_days: Days = 30
    """How many days the record of a finished delivery is kept."""

    # Models

    model_override: str | None = None
    """The model that every agent and team uses in place of the declared ones, to try them without accounts."""
    model_calls: Count = 1000
    """Model calls that a process makes at the same time. One run makes several if its members work in parallel."""
    provider_calls: Count = 1000
    """Model calls to one provider that a process makes at the same time. Lower it to fit the provider's rate limit."""
    model_tries: Count = 3
    """Tries of one model call."""
    model_retry_seconds: Seconds = 5
    """Total wait between the tries of one model call."""
    model_connect_seconds: Seconds = 10
    """Timeout for connecting to a model provider."""
    model_first_byte_seconds: Seconds = 120
    """How long a model's provider may send nothing before the first piece of an answer. A longer ``timeout`` in the
    model's own settings replaces it."""
    model_chunk_seconds: Seconds = 60
    """How long a model's provider may send nothing within an answer. A longer ``timeout`` in the model's own settings
    replaces it."""
    model_answer_bytes: Bytes = 2 * 1024 * 1024
    """Longest answer of a model: its text, reasoning, tool call arguments and results of provider-run tools
    together."""
    model_received_bytes: Bytes = 256 * 1024 * 1024
    """Most bytes, after decompression, that a provider may send for one answer."""
    memory_model: str = ""
    """The model that updates memories in runs and merges them on request, if none is named: ``provider:model``."""
    memory_shown: Count = 50
    """Most memories of its user that a run reads, at most 4,000 characters. If there are more: the newest, and those
    that fit the message."""
    memory_seconds: PositiveSeconds = 15
    """How long the memory manager of a run may take. After that nothing is remembered of the run."""
    tls_verify: bool = True
    """Whether the certificates of model providers are verified."""
    local_model: str = ""
    """A GGUF file for the model ``local``, in place of the packaged weights."""
    local_cache: str = ""
    """Directory for the joined weights of the model ``local``; empty: the user's cache directory."""

    # MCP servers

    mcp_message_bytes: Bytes = 4 * 1024 * 1024
    """Largest message of an MCP server, and largest list of its tools. A call with a larger result fails."""
    mcp_blocks: Count = 1000
    """Most content blocks of the result of a call. A call with more fails."""
    mcp_tools: Count = 500
    """Most tools of one MCP server. If a server has more, none of them can be used."""
    mcp_tool_bytes: Bytes = 64 * 1024
    """Largest definition of one tool. A tool with a larger one is left out."""

    # Knowledge

    knowledge_read_seconds: PositiveSeconds = 60
    """How long reading one document may take."""
    knowledge_read_memory_bytes: Annotated[int, Field(ge=256 * 1024 * 1024)] = 1024 * 1024 * 1024
    """Memory of the process that parses a document: its address space, on Linux."""
    knowledge_text_bytes: Bytes = 32 * 1024 * 1024
    """Longest text of one document."""
    knowledge_chunks: Count = 20_000
    """Most chunks of one document."""
    knowledge_rerank_seconds: PositiveSeconds = 10
    """How long the reranker of a search may take. After that the search keeps its own order."""
    knowledge_memory_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    """Memory of a process for the vectors of its knowledge bases. One that does not fit is searched by words alone, or
    with pgvector."""
    knowledge_pgvector: bool = False
    """Whether Postgres searches the vectors of knowledge bases that do not fit into memory, with its extension
    pgvector."""
    knowledge_private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Networks (``10.1.0.0/16``), addresses and host names in private networks from which contents may be fetched by
    URL."""

    # Requests and streams

    wait_max_seconds: Seconds = 60
    """Longest ``?wait=`` of a poll."""
    body_bytes: Bytes = 32 * 1024 * 1024
    """Largest request body."""
    field_bytes: Bytes = 1024 * 1024
    """Largest text field of a form."""
    uploads_bytes: Bytes = 128 * 1024 * 1024
    """Total size of the bodies that are being received; beyond it a request is rejected with 503. Memory use is about
    four times this."""
    body_seconds: PositiveSeconds = 20
    """Timeout for the next part of a request body."""
    delta_seconds: Seconds = 0.05
    """How long text deltas are collected before they are stored and sent."""
    first_delta_seconds: Seconds = 0.004
    """The same for a stream that has a subscriber and has sent nothing yet."""
    ping_seconds: Seconds = 15
    """Interval of comments on an idle stream."""
    stream_buffer_bytes: Bytes = 4 * 1024 * 1024
    """How much of a stream may wait in memory for a subscriber. One that lags further reads it from the store."""
    stream_gzip: bool = True
    """Whether streams are compressed for clients that accept gzip."""
    disconnect_seconds: Seconds = 10
    """How long a run continues after its stream was abandoned, before it is cancelled."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read only arguments and the environment. The other sources would look up every field even without a file."""
        return init_settings, env_settings

    @field_validator("auth", mode="before")
    @classmethod
    def _empty_means_unset(cls, value: object) -> object:
        """Treat an empty variable as unset."""
        return value or None

    @field_validator(
        "cors_origins",
        "allowed_hosts",
        "trusted_proxies",
        "jwt_algorithms",
        "jwt_audience",
        "webhook_urls",
        "webhook_private_hosts",
        "knowledge_private_hosts",
        "retry_safe_tools",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        """Split a comma-separated list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"{proxy} is not an IP address or a network like 10.1.0.0/16") from error
        return proxies

    @field_validator("webhook_urls")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if urls and info.data.get("webhook_secret") == "":
            raise ValueError("requires MUSTERD_WEBHOOK_SECRET, which signs the messages")
        for number, url in enumerate(urls, 1):
            if isinstance(problem := split(url), str):
                raise ValueError(f"URL {number}: {problem}")
        return urls

    @field_validator("bus")
    @classmethod
    def _check_bus(cls, servers: str) -> str:
        if servers:
            split_servers(servers)
        return servers

    @field_validator("knowledge_pgvector")
    @classmethod
    def _check_pgvector(cls, is_used: bool, info: ValidationInfo) -> bool:
        if is_used and not str(info.data.get("db")).startswith("postgres"):
            raise ValueError("requires MUSTERD_DB to name a Postgres database")
        return is_used

    @field_validator("webhook_private_hosts", "knowledge_private_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        Reach.of(hosts)
        return hosts

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, secret: str) -> str:
        keys_of(secret)
        return secret
