CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE instance (
	id TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	oldest_writer TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE workers (
	id TEXT NOT NULL,
	heartbeat BIGINT DEFAULT '0' NOT NULL,
	beaten_at DOUBLE NOT NULL,
	components TEXT NOT NULL,
	host TEXT NOT NULL,
	pid BIGINT DEFAULT '0' NOT NULL,
	started_at DOUBLE NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	role TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE sessions (
	session_id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	owner TEXT,
	user_id TEXT,
	component_kind TEXT NOT NULL,
	component_id TEXT NOT NULL,
	name TEXT,
	first_message TEXT NOT NULL,
	state TEXT NOT NULL,
	metadata TEXT,
	summary TEXT,
	next_seq BIGINT DEFAULT '0' NOT NULL,
	created_at DOUBLE NOT NULL,
	updated_at DOUBLE NOT NULL,
	deleted_at DOUBLE,
	forked_from TEXT,
	PRIMARY KEY (session_id, shard)
)
 WITHOUT ROWID;

CREATE TABLE runs (
	run_id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	root_id TEXT NOT NULL,
	parent_id TEXT,
	forked_from TEXT,
	copied_from TEXT,
	path TEXT NOT NULL,
	session_id TEXT NOT NULL,
	owner TEXT,
	user_id TEXT,
	component_kind TEXT NOT NULL,
	component_id TEXT NOT NULL,
	component_name TEXT NOT NULL,
	model TEXT NOT NULL,
	model_provider TEXT NOT NULL,
	definition_hash TEXT NOT NULL,
	state TEXT NOT NULL,
	version BIGINT DEFAULT '0' NOT NULL,
	lane TEXT,
	seq BIGINT,
	holder TEXT,
	on_busy TEXT DEFAULT 'enqueue' NOT NULL,
	priority BIGINT DEFAULT '0' NOT NULL,
	hold_paused BIGINT DEFAULT '0' NOT NULL,
	attempt BIGINT DEFAULT '0' NOT NULL,
	crashes BIGINT DEFAULT '0' NOT NULL,
	crashes_in_all BIGINT DEFAULT '0' NOT NULL,
	worker TEXT,
	salt TEXT,
	next_event BIGINT DEFAULT '0' NOT NULL,
	signals BIGINT DEFAULT '0' NOT NULL,
	is_background BIGINT DEFAULT '0' NOT NULL,
	cancel_on_disconnect BIGINT DEFAULT '0' NOT NULL,
	created_at DOUBLE NOT NULL,
	queued_at DOUBLE,
	started_at DOUBLE,
	first_token_at DOUBLE,
	ended_at DOUBLE,
	not_before DOUBLE,
	deadline_at DOUBLE,
	expires_at DOUBLE,
	cancel_requested_at DOUBLE,
	cancel_by TEXT,
	error_code TEXT,
	totals TEXT,
	activity TEXT,
	webhooks TEXT,
	traceparent TEXT,
	step TEXT,
	trace_id TEXT,
	is_compacted BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (run_id, shard)
)
 WITHOUT ROWID;

CREATE TABLE run_io (
	run_id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	input TEXT NOT NULL,
	output TEXT,
	messages TEXT,
	PRIMARY KEY (run_id, shard)
);

CREATE TABLE run_events (
	root_id TEXT NOT NULL,
	first_index BIGINT NOT NULL,
	shard SMALLINT NOT NULL,
	count BIGINT DEFAULT '0' NOT NULL,
	payload TEXT NOT NULL,
	PRIMARY KEY (root_id, first_index, shard)
);

CREATE TABLE journal (
	root_id TEXT NOT NULL,
	path TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	kind TEXT NOT NULL,
	state TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	name TEXT,
	call_id TEXT,
	attempt BIGINT DEFAULT '0' NOT NULL,
	tries BIGINT DEFAULT '0' NOT NULL,
	codec BIGINT DEFAULT '1' NOT NULL,
	error TEXT,
	usage TEXT,
	cost DOUBLE,
	started_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	earlier TEXT,
	timing TEXT,
	result TEXT,
	content TEXT,
	PRIMARY KEY (root_id, path, shard)
);

CREATE TABLE run_attempts (
	root_id TEXT NOT NULL,
	attempt BIGINT NOT NULL,
	shard SMALLINT NOT NULL,
	worker TEXT,
	started_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	outcome TEXT,
	PRIMARY KEY (root_id, attempt, shard)
)
 WITHOUT ROWID;

CREATE TABLE blobs (
	hash TEXT NOT NULL,
	size BIGINT DEFAULT '0' NOT NULL,
	content BLOB NOT NULL,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (hash)
);

CREATE TABLE blob_uses (
	root_id TEXT NOT NULL,
	hash TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	until_end BOOLEAN NOT NULL,
	PRIMARY KEY (root_id, hash, shard)
)
 WITHOUT ROWID;

CREATE TABLE requests (
	caller TEXT NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	fingerprint TEXT NOT NULL,
	run_id TEXT NOT NULL,
	answer TEXT,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (caller, kind, "key")
)
 WITHOUT ROWID;

CREATE TABLE approvals (
	id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	root_id TEXT NOT NULL,
	run_id TEXT NOT NULL,
	path TEXT NOT NULL,
	kind TEXT NOT NULL,
	state TEXT NOT NULL,
	status TEXT DEFAULT 'pending' NOT NULL,
	approval_type TEXT,
	request TEXT NOT NULL,
	decision TEXT,
	decided_by TEXT,
	resolution_data TEXT,
	created_at DOUBLE NOT NULL,
	decided_at DOUBLE,
	expires_at DOUBLE,
	default_decision TEXT,
	PRIMARY KEY (id, shard)
)
 WITHOUT ROWID;

CREATE TABLE run_messages (
	id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	root_id TEXT NOT NULL,
	run_id TEXT NOT NULL,
	text TEXT NOT NULL,
	sent_by TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	taken_at DOUBLE,
	taken_path TEXT,
	next_run_id TEXT,
	PRIMARY KEY (id, shard)
)
 WITHOUT ROWID;

CREATE TABLE service_accounts (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	token_hash TEXT NOT NULL,
	token_prefix TEXT NOT NULL,
	scopes TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	created_by TEXT,
	expires_at DOUBLE,
	last_used_at DOUBLE,
	revoked_at DOUBLE,
	PRIMARY KEY (id)
)
 WITHOUT ROWID;

CREATE TABLE deliveries (
	id TEXT NOT NULL,
	shard SMALLINT NOT NULL,
	run_id TEXT NOT NULL,
	url TEXT NOT NULL,
	host TEXT NOT NULL,
	happening TEXT NOT NULL,
	run_attempts BIGINT NOT NULL,
	facts TEXT NOT NULL,
	state TEXT NOT NULL,
	attempts BIGINT DEFAULT '0' NOT NULL,
	due_at DOUBLE NOT NULL,
	lease TEXT,
	created_at DOUBLE NOT NULL,
	ended_at DOUBLE,
	last_status BIGINT,
	last_error TEXT,
	PRIMARY KEY (id, shard)
)
 WITHOUT ROWID;

CREATE TABLE memories (
	memory_id TEXT NOT NULL,
	owner TEXT,
	user_id TEXT NOT NULL,
	memory TEXT NOT NULL,
	memory_key TEXT NOT NULL,
	topics TEXT NOT NULL,
	agent_id TEXT,
	team_id TEXT,
	input TEXT,
	source_run_id TEXT,
	profile_field TEXT,
	created_at DOUBLE NOT NULL,
	updated_at DOUBLE NOT NULL,
	PRIMARY KEY (memory_id)
)
 WITHOUT ROWID;

CREATE TABLE daily_metrics (
	day TEXT NOT NULL,
	owner TEXT NOT NULL,
	is_over BIGINT NOT NULL,
	figures TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	updated_at DOUBLE NOT NULL,
	PRIMARY KEY (day, owner)
)
 WITHOUT ROWID;

CREATE TABLE schedules (
	id TEXT NOT NULL,
	owner TEXT,
	user_id TEXT,
	name TEXT NOT NULL,
	component TEXT NOT NULL,
	definition TEXT NOT NULL,
	maker TEXT NOT NULL,
	declared TEXT,
	enabled BIGINT DEFAULT '0' NOT NULL,
	next_run_at DOUBLE,
	due_at DOUBLE,
	version BIGINT DEFAULT '0' NOT NULL,
	created_at DOUBLE NOT NULL,
	updated_at DOUBLE,
	PRIMARY KEY (id)
)
 WITHOUT ROWID;

CREATE TABLE firings (
	id TEXT NOT NULL,
	schedule_id TEXT NOT NULL,
	attempt BIGINT DEFAULT '0' NOT NULL,
	"trigger" TEXT NOT NULL,
	scheduled_for DOUBLE,
	run_id TEXT,
	session_id TEXT,
	outcome TEXT,
	status_code BIGINT,
	error TEXT,
	look_at DOUBLE,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
)
 WITHOUT ROWID;

CREATE TABLE knowledge_bases (
	id TEXT NOT NULL,
	number BIGINT NOT NULL,
	version BIGINT DEFAULT '0' NOT NULL,
	next_chunk BIGINT DEFAULT '0' NOT NULL,
	embedder TEXT,
	embedder_spec TEXT,
	worker TEXT,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
)
 WITHOUT ROWID;

CREATE TABLE contents (
	id TEXT NOT NULL,
	knowledge_id TEXT NOT NULL,
	owner TEXT,
	name TEXT NOT NULL,
	description TEXT,
	metadata TEXT NOT NULL,
	kind TEXT,
	size BIGINT DEFAULT '0' NOT NULL,
	origin TEXT,
	source TEXT NOT NULL,
	media_type TEXT,
	source_hash TEXT NOT NULL,
	reader TEXT,
	chunk_characters BIGINT,
	chunk_overlap BIGINT DEFAULT '0' NOT NULL,
	status TEXT NOT NULL,
	status_message TEXT DEFAULT '' NOT NULL,
	published_version BIGINT DEFAULT '0' NOT NULL,
	job_version BIGINT DEFAULT '0' NOT NULL,
	changed_version BIGINT DEFAULT '0' NOT NULL,
	chunks BIGINT DEFAULT '0' NOT NULL,
	chunk_total BIGINT,
	done BIGINT DEFAULT '0' NOT NULL,
	attempts BIGINT DEFAULT '0' NOT NULL,
	crashes BIGINT DEFAULT '0' NOT NULL,
	worker TEXT,
	is_stale BIGINT DEFAULT '0' NOT NULL,
	created_at DOUBLE NOT NULL,
	updated_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
)
 WITHOUT ROWID;

CREATE TABLE chunks (
	id INTEGER NOT NULL,
	content_id TEXT NOT NULL,
	version BIGINT NOT NULL,
	number BIGINT NOT NULL,
	text TEXT NOT NULL,
	place TEXT,
	text_hash TEXT NOT NULL,
	PRIMARY KEY (id)
);

CREATE TABLE embeddings (
	text_hash TEXT NOT NULL,
	embedder TEXT NOT NULL,
	vector BLOB NOT NULL,
	PRIMARY KEY (text_hash, embedder)
)
 WITHOUT ROWID;

CREATE VIRTUAL TABLE chunk_words USING fts5(text, content = 'chunks', content_rowid = 'id', tokenize = 'porter unicode61');

CREATE INDEX sessions_deleted ON sessions (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE INDEX sessions_component_created ON sessions (component_kind, component_id, created_at, session_id, deleted_at) WHERE deleted_at IS NULL;

CREATE INDEX sessions_user_created ON sessions (user_id, created_at, session_id, deleted_at) WHERE deleted_at IS NULL AND user_id IS NOT NULL;

CREATE INDEX sessions_owner_created ON sessions (owner, created_at, session_id, deleted_at) WHERE deleted_at IS NULL AND owner IS NOT NULL;

CREATE INDEX sessions_names ON sessions (created_at, session_id, owner, user_id, component_kind, component_id, name, first_message, deleted_at) WHERE deleted_at IS NULL;

CREATE INDEX sessions_created ON sessions (created_at, session_id, owner, user_id, component_kind, component_id, deleted_at) WHERE deleted_at IS NULL;

CREATE INDEX sessions_updated ON sessions (updated_at, session_id, owner, user_id, component_kind, component_id, deleted_at) WHERE deleted_at IS NULL;

CREATE INDEX sessions_user_updated ON sessions (user_id, updated_at, session_id, owner, component_kind, component_id, deleted_at) WHERE deleted_at IS NULL AND user_id IS NOT NULL;

CREATE INDEX sessions_title ON sessions (substr(COALESCE(name, first_message), 1, 100), session_id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX runs_holder ON runs (holder, shard);

CREATE INDEX runs_session ON runs (session_id, seq);

CREATE INDEX runs_root ON runs (root_id);

CREATE INDEX runs_queued ON runs (lane, seq) WHERE state = 'queued';

CREATE INDEX runs_ready ON runs (priority DESC, queued_at, owner, state) WHERE state = 'ready';

CREATE INDEX runs_suspect ON runs (owner) WHERE state = 'ready' AND crashes >= 2;

CREATE INDEX runs_running ON runs (worker) WHERE state = 'running' AND parent_id IS NULL;

CREATE INDEX runs_scheduled ON runs (not_before) WHERE state = 'scheduled';

CREATE INDEX runs_paused ON runs (expires_at) WHERE state = 'paused' AND parent_id IS NULL;

CREATE INDEX runs_interrupting ON runs (lane, seq) WHERE state = 'queued' AND on_busy = 'interrupt';

CREATE INDEX runs_deadline ON runs (deadline_at) WHERE state IN ('scheduled', 'queued', 'ready') AND deadline_at IS NOT NULL;

CREATE INDEX runs_of_owner ON runs (owner, state) WHERE owner IS NOT NULL AND parent_id IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running');

CREATE INDEX runs_trace_id ON runs (trace_id) WHERE trace_id IS NOT NULL;

CREATE INDEX runs_traceparent ON runs (traceparent) WHERE traceparent IS NOT NULL;

CREATE INDEX runs_live ON runs (session_id, seq) WHERE parent_id IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused');

CREATE INDEX runs_finished ON runs (is_compacted, ended_at) WHERE parent_id IS NULL AND ended_at IS NOT NULL;

CREATE INDEX runs_created ON runs (created_at, run_id, parent_id) WHERE parent_id IS NULL;

CREATE INDEX runs_owner ON runs (owner, created_at, run_id, parent_id) WHERE parent_id IS NULL AND owner IS NOT NULL;

CREATE INDEX runs_user ON runs (user_id, created_at, run_id, parent_id) WHERE parent_id IS NULL AND user_id IS NOT NULL;

CREATE INDEX runs_component ON runs (component_kind, component_id, created_at, run_id, parent_id) WHERE parent_id IS NULL;

CREATE INDEX runs_error ON runs (created_at, run_id, parent_id, state) WHERE state = 'error' AND parent_id IS NULL;

CREATE INDEX runs_cancelled ON runs (created_at, run_id, parent_id, state) WHERE state = 'cancelled' AND parent_id IS NULL;

CREATE INDEX runs_live_created ON runs (created_at, run_id, parent_id, state) WHERE parent_id IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused');

CREATE INDEX runs_not_started ON runs (created_at, run_id, parent_id, started_at) WHERE parent_id IS NULL AND started_at IS NULL;

CREATE INDEX blob_uses_hash ON blob_uses (hash);

CREATE INDEX requests_run ON requests (run_id);

CREATE INDEX approvals_root ON approvals (root_id, path);

CREATE INDEX approvals_created ON approvals (created_at, id, root_id, approval_type, kind, status);

CREATE INDEX approvals_inbox ON approvals (status, created_at, id, root_id, approval_type, kind);

CREATE INDEX run_messages_root ON run_messages (root_id, created_at);

CREATE UNIQUE INDEX service_accounts_token ON service_accounts (token_hash);

CREATE UNIQUE INDEX service_accounts_name ON service_accounts (name) WHERE revoked_at IS NULL;

CREATE INDEX service_accounts_created ON service_accounts (created_at, id);

CREATE INDEX service_accounts_names ON service_accounts (name, id);

CREATE INDEX service_accounts_expires_at ON service_accounts ((COALESCE(expires_at, 0)), id);

CREATE INDEX service_accounts_last_used_at ON service_accounts ((COALESCE(last_used_at, 0)), id);

CREATE INDEX deliveries_run ON deliveries (run_id, created_at, id);

CREATE INDEX deliveries_newest ON deliveries (created_at, id);

CREATE INDEX deliveries_state ON deliveries (state, created_at, id);

CREATE INDEX deliveries_due ON deliveries (state, due_at, id);

CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;

CREATE UNIQUE INDEX memories_said ON memories (user_id, (COALESCE(owner, '')), memory_key);

CREATE INDEX memories_updated ON memories (updated_at, memory_id);

CREATE INDEX memories_user ON memories (user_id, updated_at, memory_id);

CREATE INDEX memories_owner ON memories (owner, updated_at, memory_id);

CREATE INDEX memories_created ON memories (created_at, memory_id);

CREATE INDEX memories_agent ON memories (agent_id, updated_at, memory_id);

CREATE INDEX memories_team ON memories (team_id, updated_at, memory_id);

CREATE INDEX memories_text ON memories (substr(memory, 1, 100), memory_id);

CREATE INDEX daily_metrics_owner ON daily_metrics (owner, day);

CREATE UNIQUE INDEX schedules_name ON schedules ((COALESCE(owner, '')), name);

CREATE INDEX schedules_created ON schedules (created_at, id);

CREATE INDEX schedules_owner ON schedules (owner, created_at, id);

CREATE INDEX schedules_enabled ON schedules (enabled, created_at, id);

CREATE INDEX schedules_due ON schedules (due_at, component) WHERE due_at IS NOT NULL;

CREATE INDEX schedules_declared ON schedules (component) WHERE declared IS NOT NULL;

CREATE INDEX firings_schedule ON firings (schedule_id, created_at);

CREATE UNIQUE INDEX firings_instant ON firings (schedule_id, scheduled_for) WHERE attempt = 1 AND scheduled_for IS NOT NULL;

CREATE INDEX firings_run ON firings (run_id) WHERE run_id IS NOT NULL;

CREATE INDEX firings_look ON firings (look_at) WHERE look_at IS NOT NULL;

CREATE INDEX firings_without_run ON firings (created_at) WHERE run_id IS NULL;

CREATE UNIQUE INDEX knowledge_bases_number ON knowledge_bases (number);

CREATE UNIQUE INDEX contents_name ON contents (knowledge_id, (COALESCE(owner, '')), name) WHERE status <> 'deleted';

CREATE INDEX contents_created ON contents (knowledge_id, created_at, id) WHERE status <> 'deleted';

CREATE INDEX contents_updated ON contents (knowledge_id, updated_at, id) WHERE status <> 'deleted';

CREATE INDEX contents_by_name ON contents (knowledge_id, name, id) WHERE status <> 'deleted';

CREATE INDEX contents_size ON contents (knowledge_id, size, id) WHERE status <> 'deleted';

CREATE INDEX contents_status ON contents (knowledge_id, status, id) WHERE status <> 'deleted';

CREATE INDEX contents_kind ON contents (knowledge_id, kind, id) WHERE status <> 'deleted';

CREATE INDEX contents_changed ON contents (knowledge_id, changed_version);

CREATE INDEX contents_jobs ON contents ((COALESCE(owner, '')), created_at, id) WHERE status IN ('queued', 'reading', 'embedding');

CREATE INDEX contents_stale ON contents (id) WHERE is_stale = 1;

CREATE UNIQUE INDEX chunks_content ON chunks (content_id, version, number);

CREATE INDEX chunks_hash ON chunks (text_hash);

CREATE INDEX embeddings_embedder ON embeddings (embedder);

INSERT INTO alembic_version VALUES ('v0001');
