"""Imports and builds everything that a server with scripted models has after its first run and its first search.

Files of components import modules of ``tests.support``, and these import pytest.
"""

# ruff: noqa: F401

import numkong
import numpy
import pytest
import semantic_text_splitter
import uvicorn.lifespan.off
import uvicorn.loops.auto
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl
import uvicorn.protocols.websockets.websockets_sansio_impl
from genai_prices.data_snapshot import get_snapshot
from pydantic_ai.messages import ModelMessagesTypeAdapter

import musterd.agno.reader
import musterd.app
import musterd.cli.logs
import musterd.cli.serve
import musterd.cli.source
import musterd.cli.worker
import musterd.declare.python_source
import musterd.http.uvicorn_protocol
import musterd.models.scripted
import musterd.models.scripted_tasks
import musterd.store.postgres

get_snapshot()  # the prices of models, which each model reads when it is made
ModelMessagesTypeAdapter.rebuild()  # of messages: it is built for the first one
