# Needs Python 3.11 or newer and make. Another interpreter: make setup PYTHON=python3.13
PYTHON ?= python3
EXAMPLE ?= newsroom

BIN := .venv/bin
STAMP := .venv/.setup
BYTECODE := .venv/.bytecode
# A .venv that was moved, or whose interpreter is gone, is made anew.
SOUND := $(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c 'import uv' 2>/dev/null && echo yes)
NPM := $(shell command -v npm)
LOCKS := requirements/setup.txt requirements/runtime.txt requirements/test.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-local lint types bench ci clean rebuild

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Make .venv with the server and the tools, as locked, and build the page
	@$(BIN)/python tools/install.py ui

$(STAMP): $(LOCKS) pyproject.toml tools/install.py $(if $(SOUND),,rebuild)
	@$(PYTHON) tools/install.py setup

demo: setup ## Run a team over HTTP, start to end, on the embedded model
	@echo "Preparing the demo: a server, one team run and its answer."
	@if $(BIN)/python tools/install.py local; then exec $(BIN)/musterd demo; \
	else echo "Showing the same team on scripted answers."; exec $(BIN)/musterd demo --scripted; fi

serve: setup ## Serve the sample team, or EXAMPLE=handbook, and print its URL
	@if $(BIN)/python tools/install.py local; then exec $(BIN)/musterd serve examples/$(EXAMPLE).py; \
	else echo "Serving the same with scripted answers."; \
	MUSTERD_EXAMPLE_MODEL=scripted exec $(BIN)/musterd serve examples/$(EXAMPLE).py; fi

# The tests start hundreds of processes, so bytecode is kept even if the environment turns it off: compiling takes half
# of the start of one.
test test-local $(BYTECODE): export PYTHONDONTWRITEBYTECODE =
test test-local $(BYTECODE): export PYTHONPYCACHEPREFIX = $(CURDIR)/.venv/pycache

test: setup ## Run every test but those of the embedded model
	@$(BIN)/python tools/install.py clients
	@$(BIN)/python tools/install.py browser
	@$(BIN)/python tools/install.py terminal
	$(if $(NPM),npm --prefix clients/ts test --silent && npm --prefix ui test --silent && npm --prefix ui run size --silent)
	$(BIN)/pytest -n 3 --dist worksteal

test-local: setup ## Run the embedded model on its prompts and print the figures
	@$(BIN)/python tools/install.py local
	$(BIN)/pytest -m local tests/local

lint: setup ## Check format, rules and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(if $(NPM),npm --prefix ui run lint --silent)

types: setup ## Check types
	$(BIN)/mypy
	$(if $(NPM),$(BIN)/python tools/client_types.py --check && npm --prefix ui run types --silent)

bench: setup ## Measure, beside the peer where it can be installed
	$(BIN)/python -m bench

ci: setup ## Do all that a change must pass
	@$(MAKE) --no-print-directory --jobs 2 lint types $(BYTECODE)
	@$(MAKE) --no-print-directory test

# Compiled once, in parallel with the type check, which uses one processor. Otherwise each test process would compile
# everything, because they all start at the same time.
$(BYTECODE): | setup
	@$(BIN)/pytest --collect-only --quiet > $@.log || { cat $@.log; exit 1; }
	@$(BIN)/python -c 'import tests.support.started_server'
	@touch $@

clean: ## Remove .venv, caches and builds; never a database
	rm -rf .venv .venv-clients tests/compat/node/node_modules ui/node_modules clients/ts/node_modules clients/ts/dist src/musterd/ui_dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov build dist
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
