# One command per intent; `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
UV     := $(BIN)/uv
ARGS   ?=
MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check fix bench chaos soak sabotage migrate lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from the hashed lock

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ciosync needs Python 3.11 or newer; try: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (once; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## run everything on this machine: Postgres, Valkey, a stand-in Customer.io, worker, beat, API (ARGS="--no-serve")
	@$(BIN)/ciosync demo $(ARGS)

dev: $(STAMP) ## the same processes as the demo with your .env, restarted when the code changes
	@$(BIN)/ciosync dev $(ARGS)

test: $(STAMP) ## all tests, in two processes (ARGS="-k name" for some, ARGS="-n 0" for one process)
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(STAMP) ## format, lint, types, import contracts, spelling, compose file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

fix: $(STAMP) ## format and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) ## side-by-side benchmarks: a table, and JSON in benchmarks/results
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: $(STAMP) ## break everything for ten minutes or so, and check that nothing is lost (ARGS="--seed 7")
	@$(BIN)/python -m tests.chaos run --profile full $(ARGS)

soak: $(STAMP) ## one to three faults at a time, at random, for MINUTES (60): is anything lost, stuck, leaked or growing? (ARGS="--out soak.md")
	@$(BIN)/python -m tests.chaos soak --minutes $(MINUTES) $(ARGS)

sabotage: $(STAMP) ## break the product in every known way, and see that its tests notice (ARGS="-k token")
	@$(BIN)/python -m tests.sabotage $(ARGS)

migrate: $(STAMP) ## bring DATABASE_URL to the newest schema
	@$(BIN)/ciosync db upgrade

lock: $(STAMP) ## make requirements/*.txt anew from pyproject.toml (needs uv on PATH)
	@requirements/lock

clean: ## delete .venv, the demo's data and the caches
	@rm -rf $(VENV) .state build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
