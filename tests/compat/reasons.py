"""Why an answer differs from the recorded one: patterns of differences, each with its reason.

A difference reads ``exchange: [event] - path`` where AgentOS alone has a value, ``+ path`` where musterd alone has.
"""

REASONS: dict[str, str] = {
    # What is added
    r"\+ (request_id|error_code)$": "every error has a code, and the id of its request",
    r"\+ (attempts|queued_at|started_at|first_token_at|ended_at)$": "when things happened to a run, and how often",
    r"\+ at$": "when an event happened, with fractions of a second",
    r"\+ (totals|activity)\.\w+$": "what a run has used so far, with its members, and what it does now",
    r"\+ member_responses\[\]\.(started_at|ended_at|first_token_at)$": "the same of a member's run",
    r"\+ (event_index|nested_depth)$": "where a reader is in a stream, and how deep the team",
    r"\+ (.*\.)?error\.(code|message|retryable)$": "a failed run says why in a form that programs read",
    r"\+ (.*\.)?error_type$": "so does the event of a failure",
    r"\+ tools_requiring_confirmation\[\]": "agno-client looks for the calls that wait by kind",
    r"\+ (.*\.)?kind$": "what a requirement waits for: a crash may be one more thing",
    r"\+ (.*\.)?approval_id$": "every call that waits stands in the inbox, under this id",
    r"\+ (.*\.)?child_run_id$": "a delegation names the member's run, streaming or not",
    r"\+ tools\.tools\[\]\.(requires_confirmation|external_execution)$": "what a tool asks a person for",
    r"^runs of .*: \+ \[\]\.events\[\]": "the event that the run ended with: agno-client shows no run without one",
    r"\+ (.*\.)?messages\[\]\.metrics\.(duration|time_to_first_token)$": "measured for members and pauses too",
    r"^config: [-+] workflows\[\]": "the recorded server had no workflows",
    r"^failed (run|answer): \+ messages\[\]": "a failed run keeps what was said until then",
    r"^config: \+ (name|agents\[\]\.description)$": "AgentOS leaves out what its operator did not say",
    r"^stream of a failing member: TeamRunCompleted \+ member_responses\[\]\.": "a failed member's run is shown",
    r"^background run: \+ user_id$": "the recorded run had no user",
    r"TeamRunCompleted \+ member_responses\[\]\.tools\[\]$": "an empty list where a member called no tool",
    r"^team: \+ tools\.tools\[\]\.requires_user_input$": "the page says which tools need values from a person",
    r"^sessions.*: \+ data\[\]\.(status|run_count|waiting|total_\w+|last_answer|component_\w+)$": "what its runs were",
    r"^schedule: .*\+ (data\[\]\.)?\w+_seconds$": "when a schedule fires",
    r"^schedule: .*\+ (data\[\]\.)?(on_missed|overlap|session|is_declared)$": "whether it fires, and as what",
    # Schedules
    r"^schedule: six fields .*: (status 201, here 422|- )": "seconds are refused: polls made them once a minute",
    r"^schedule: never .*: (status 500, here 422|detail )": "an expression that matches no date is refused in words",
    r"^schedule: unknown endpoint: (status 201, here 422|- )": "only runs of what is served can be scheduled",
    # Errors
    r"(- detail\[\]|\+ errors\[\]|\+ detail$)": "`detail` is a text, as AgentOS documents it; the list is in `errors`",
    r"^unsupported file: detail": "the words name the file, and the types that are taken",
    r"^deleted unknown session: type": "an answer without a body has no type",
    # What is left out
    r"- (.*\.)?(model_provider_data|provider_data\.id)$": "the provider's response id is not kept",
    r"- (.*\.)?session_state$": "AgentOS puts keys of its own into members' state; here it is the user's, or left out",
    r"- (.*\.)?user_(input|feedback)_schema\[\]$": "null where nothing is asked for, not an empty list",
    r"^config: - (metrics|memory|knowledge|traces)\.": "what is not served is not listed",
    r"- member_responses\[\]\.events\[\]": "a member's events stand in the stream, and are not sent twice",
    r"- metrics\.time_to_first_token$": "a leader that said nothing has no first token",
    # Order
    r"^stream of a failing (model|member): order": "a failed model call is retried, and an event says so",
    r"^stream without events: order": "a stream always tells how it ended",
    r"^stream of a member's pause: order": "a delegation that waits has not completed, nor has the member",
    r"^stream of a member's pause: TeamRunPaused [-+] tools\[\]": "the call that waits is shown, not the delegation",
    r"^run that a member paused: [-+] (events\[\]\.tools|tools|messages)\[\]\.": "the same in the run and its events",
    r"^tasks stream: ": "the scripted leader makes tasks here, and answered at once there",
}
