"""Imports everything that a server with scripted models has imported when it is ready."""

import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl
import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401
from genai_prices.data_snapshot import get_snapshot

import musterd.app
import musterd.cli.serve
import musterd.cli.worker
import musterd.http.uvicorn_protocol
import musterd.models.script_tasks
import musterd.models.scripted
import musterd.store.postgres  # noqa: F401

get_snapshot()  # the prices of models, which each model reads when it is made
