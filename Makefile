# The one set of commands: people, README and CI use the same. `make demo` is where to begin.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.requirements
ARGS ?=
TRIALS ?= 100

# The checks read the settings, but reach no server: any values do.
types imports migrations: export SECRET_KEY := of-the-checks
types imports migrations: export FERNET_KEYS := of-the-checks-of-the-checks-of-the-checks
types imports migrations: export DATABASE_URL := postgresql://check@127.0.0.1:1/check
types imports migrations: export REDIS_URL := redis://127.0.0.1:1/0

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint style types imports migrations simulation faults soak clean

help:
	@echo "make demo   watch bots trade on a paper exchange (ARGS=\"--port 8000 --data DIR --fresh\")"
	@echo "make test   all checks and all tests (ARGS=\"-k name\" goes to pytest)"
	@echo "make lint   the checks: style, types, import rules, missing migrations"
	@echo "make faults only the seeded trials of the fault suite (TRIALS=300 SEED=4711)"
	@echo "make soak   the long tests"
	@echo "make simulation  the order protocol in 100,000 interleavings (RUNS=1000 SEED=0)"
	@echo "make setup  only make $(VENV) and install the requirements"

setup: $(STAMP)

# A Debian Python comes without venv: say so before pip says it in thirty lines.
$(STAMP): requirements.txt requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "TradeBot needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1): name another one: make setup PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python has no venv module: install it (on Debian and Ubuntu: apt install python3-venv) and try again."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing requirements.txt and requirements-dev.txt into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
		-r requirements.txt -r requirements-dev.txt
	@touch $@

demo: $(STAMP)
	@$(BIN)/python manage.py demo $(ARGS)

test: lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: style types imports migrations

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy .

imports: $(STAMP)
	$(BIN)/lint-imports

# It looks for a database to compare with, and warns that there is none.
migrations: $(STAMP)
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

RUNS ?= 100000
SEED ?= 0
simulation: $(STAMP)
	@$(BIN)/python -m tests.simulation.simulation --runs $(RUNS) --seed $(SEED)

faults: export FAULT_TRIALS := $(TRIALS)
faults: export FAULT_SEED := $(SEED)
faults: export FAULT_VERBOSE := 1
faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults/test_trials.py -q $(ARGS)

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak $(ARGS)

clean:
	rm -rf $(VENV) .data .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
