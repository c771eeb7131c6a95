# The only things needed beforehand: Python 3.11 or newer, make, a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/.installed
DEV_READY := $(VENV)/.installed-dev
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.installed

# Compiled modules are kept in any case: without them every process starts more than ten seconds later.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help app test check bench bench-peers clean

help: ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

app: $(READY) ## Open the app; the first time, install it into .venv
	$(BIN)/mixviz app

# More than one thread in each process, and they wait for each other. A third process has something to do
# while tests wait for processes of their own.
test: export OMP_NUM_THREADS = 1
test: $(DEV_READY) ## Run all tests, those in a browser included
	$(BIN)/python -m pytest -n 3 --ignore=tests/browser
	chromium=$$($(BIN)/python tests/browser/chromium.py) && export CHROMIUM="$$chromium" && \
		$(BIN)/python -m pytest -n 2 -m "not alone" tests/browser && \
		$(BIN)/python -m pytest -m alone tests/browser

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

# uv takes a fifth of pip's time; where it cannot be had or does not reach the index, pip installs.
# Neither compiles modules, most of which are never imported; those that the app imports when it starts
# are compiled by importing them.
UV := uv==0.13.9
define install
	@$(PIP) install --quiet $(UV) || echo "There is no $(UV) here; pip installs, which takes longer."
	$(BIN)/uv pip install --python $(BIN)/python --cache-dir $(VENV)/.cache $(1) || \
		$(PIP) install --no-compile $(1)
	@rm -rf $(VENV)/.cache
endef

$(READY): requirements.txt pyproject.toml | $(BIN)/python
	$(call install,-r requirements.txt -e .)
	@$(BIN)/python -c "import streamlit.web.bootstrap, mixviz.training.lightning, mixviz.training.trainer"
	@$(BIN)/python -c "import mixviz.ui.cards, mixviz.ui.live, mixviz.ui.setup" 2>/dev/null
	@touch $@

$(DEV_READY): requirements-dev.txt requirements-cluster.txt $(READY)
	$(call install,-r requirements-dev.txt)
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
