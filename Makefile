# MCP Sentinel. `make` alone lists the targets. Needs Python 3.11 or newer with pip, make and git.

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/.run-ready
DEV := .venv/.dev-ready
# Debian's python3 without python3-venv makes environments without pip; the machine's own pip then fills them.
PIP = $(if $(shell $(BIN)/python -m pip --version 2>/dev/null),$(BIN)/python -m pip,$(PYTHON) -m pip --python $(BIN)/python)
INSTALL = $(PIP) install --quiet --quiet --disable-pip-version-check --require-hashes --no-deps
EDITABLE = $(PIP) install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index
UV = .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help up test check bench faults lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: $(RUN) ## Start everything and stay in the foreground (the first run installs into .venv)
	@exec $(BIN)/sentinel up

test: $(DEV) ## Run every test, with real servers of its own
	@without=$$(sh deploy/chromium.sh) && exec $(BIN)/python -m pytest $$without

check: $(DEV) ## Lint, format, types, import contracts, rule packs: what CI runs before the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sentinel rules check

bench: $(DEV) ## Measure throughput and latency on this machine
	@exec $(BIN)/python -m tests.benchmarks

faults: $(DEV) ## Kill every kind of process many times under load (SENTINEL_KILLS, SENTINEL_SEED)
	@SENTINEL_KILLS=$${SENTINEL_KILLS:-30} exec $(BIN)/python -m pytest tests/faults/test_kills.py --timeout=3600

lock: ## Write requirements/*.txt anew from pyproject.toml
	@$(PYTHON) -m venv .venv/lock
	@.venv/lock/bin/python -m pip install --quiet --quiet --disable-pip-version-check uv
	$(UV) --extra build pyproject.toml --output-file requirements/run.txt
	$(UV) --extra build --extra dev pyproject.toml --output-file requirements/dev.txt

clean: ## Remove the virtual environment and what tools left behind; data folders stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 up" >&2; exit 1; }
	@echo "Making .venv …"
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv

$(RUN): .venv/pyvenv.cfg requirements/run.txt pyproject.toml
	@echo "Installing …"
	@$(INSTALL) -r requirements/run.txt
	@$(EDITABLE) -e .
	@touch $@

$(DEV): $(RUN) requirements/dev.txt
	@echo "Installing what the tests need …"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@
