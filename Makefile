# The only things needed beforehand: Python 3.11 or newer, make, a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/.installed
DEV_READY := $(VENV)/.installed-dev
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.installed

.DEFAULT_GOAL := help
.PHONY: help app test check bench bench-peers clean

help: ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

app: $(READY) ## Open the app; the first time, install it into .venv
	$(BIN)/mixviz app

test: $(DEV_READY) ## Run all tests, those in a browser included
	$(BIN)/python -m pytest -n 2 --ignore=tests/browser
	chromium=$$($(BIN)/python tests/browser/chromium.py) && \
		CHROMIUM="$$chromium" $(BIN)/python -m pytest tests/browser

check: $(DEV_READY) ## Lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV_READY) ## Measure speed again: training, frames, pages
	$(BIN)/python benchmarks/bench.py

bench-peers: $(DEV_READY) $(PEERS_READY) ## Measure beside other libraries; PEERS_ARGS="--data digits" and so on
	$(BIN)/python benchmarks/peers.py $(PEERS_ARGS)
	$(BIN)/python benchmarks/peers.py --table

clean: ## Remove caches and builds; runs and .venv stay
	rm -rf build dist .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -path './$(VENV)*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Modules are compiled when they are first imported, most of them never.
$(READY): requirements.txt pyproject.toml | $(BIN)/python
	$(PIP) install --no-compile -r requirements.txt
	$(PIP) install --no-deps -e .
	@touch $@

$(DEV_READY): requirements-dev.txt requirements-cluster.txt $(READY)
	$(PIP) install --no-compile -r requirements-dev.txt
	@touch $@

$(PEERS_READY): benchmarks/requirements-peers.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install -r benchmarks/requirements-peers.txt
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON); install Python 3.11 or newer, or name it: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "mixviz needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version); name another: make PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; install its venv module (on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
