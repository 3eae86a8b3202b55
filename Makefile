# The only door: each target does all set-up it needs, on a machine with make and a Python of 3.11 to 3.14.
# The first of these that cacapp can be installed on, that of constraints.txt first; make PYTHON=... takes another.
PYTHONS := python3.11 python3.14 python3.13 python3.12 python3 python
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for p in $(PYTHONS); do $$p .ci/python_fits.py >/dev/null 2>&1 && { echo $$p; break; }; done)
endif
VENV := .venv
BIN := $(VENV)/bin
YARDSTICK := .venv-yardstick
STAMP := $(VENV)/.installed
BENCH_DATA ?= ../shared
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SITE := .docs
LOCK := constraints.txt
LOCK_PYTHON := 3.11

.PHONY: help setup lock demo docs test test-fast plugins soak lint audit bench clean

help:
	@echo "make setup   make the environment in $(VENV) and install cacapp with its development tools"
	@echo "make lock    renew $(LOCK), the versions that make setup installs on Python $(LOCK_PYTHON)"
	@echo "make demo    five simulated patients, from slides to reports"
	@echo "make test-fast  the tests to run after each change: no browser, no PostgreSQL, no whole commands, no training"
	@echo "make test    all tests, in TEST_PROCESSES=2 processes"
	@echo "make plugins installs the plugins of plugins/ (or PLUGINS='name ...'), runs their tests and the contract suite"
	@echo "make soak    kills a run and four actions of the review 100 times each on SQLite and on PostgreSQL, compares what is there with what has to be, and reads 5,000 damaged files"
	@echo "make docs    the documentation site in $(SITE)/index.html; a warning is an error"
	@echo "make lint    style, types, layers, migrations, known holes in dependencies (said, not failed)"
	@echo "make audit   fails where a dependency has a known hole"
	@echo "make bench   the yardsticks as one table (BENCH_DATA=folder with bench/ and data/)"
	@echo "make clean   remove the environment and what the tools left"

setup: $(STAMP)

# the newest versions that pyproject.toml allows (make setup LOCK= installs those too), from an environment made anew; without those that hang on the machine: torch pins its own
lock:
	@echo "Installing the newest versions in .venv-lock ..."
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --editable '.[dev]'
	@.venv-lock/bin/python .ci/lock.py > $(LOCK)
	@rm -rf .venv-lock
	@echo "Done: $(LOCK); now: make test"

$(STAMP): pyproject.toml Makefile $(wildcard $(LOCK))
	@for p in $(or $(PYTHON),python3 python); do \
	  command -v $$p >/dev/null 2>&1 && { $$p .ci/python_fits.py && exit 0; exit 1; }; done; \
	echo "$(or $(PYTHON),python3) not found: install Python 3.11 to 3.14, or name yours: make setup PYTHON=/path/to/python3.13" >&2; exit 1
	@echo "Making the environment in $(VENV) and installing cacapp with its tools (a few minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@constraint="$$(test -f '$(LOCK)' && $(BIN)/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(LOCK_PYTHON)")' && echo '--constraint $(LOCK)')"; \
	$(BIN)/python -m pip install --quiet --editable '.[dev]' $$constraint
	@touch $@
	@echo "Done: $(BIN)/cacapp"

demo: $(STAMP)
	@$(BIN)/cacapp demo

docs: $(STAMP)
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs $(SITE)
	@echo "Done: $(SITE)/index.html"

# at once, one more than two cores since many tests wait; a file's tests stay together, since they share what is slow to make, in the order of tests/selection.py
TEST_PROCESSES ?= 3
PYTEST = $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP)
	$(PYTEST) --database sqlite -m "not (slow or e2e or browser or postgres or training)"

test: $(STAMP)
	$(PYTEST)

# those to try, all by default
PLUGINS ?=

plugins: $(STAMP)
	@$(BIN)/python .ci/plugins.py $(PLUGINS)

# kills, on each kind of database; a few seconds each
SOAK_KILLS ?= 100
# damaged image files; a tenth of a second each
SOAK_FILES ?= 5000

soak: $(STAMP)
	CACAPP_KILLS=$(SOAK_KILLS) $(BIN)/python -m pytest tests/e2e/test_kills.py tests/e2e/test_kills_of_reviews.py -s
	$(BIN)/python -m tests.fuzz.run --files $(SOAK_FILES)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@rm -rf .lint && mkdir .lint
	CACAPP_DB=.lint/check.db $(BIN)/cacapp db upgrade --quiet
	CACAPP_DB=.lint/check.db $(BIN)/alembic check
	@rm -rf .lint
	@$(BIN)/python .ci/audit.py

audit: $(STAMP)
	@$(BIN)/python .ci/audit.py --strict

# the yardsticks need scikit-image, which the product does not: they get an environment of their own
$(YARDSTICK)/bin/python:
	@echo "Making the yardsticks' environment in $(YARDSTICK) ..."
	@$(PYTHON) -m venv $(YARDSTICK)
	@$(YARDSTICK)/bin/python -m pip install --quiet numpy scipy scikit-image opencv-python-headless tifffile

bench: $(STAMP) $(YARDSTICK)/bin/python
	@$(BIN)/python benchmarks/main_job.py $(BENCH_DATA) --yardstick-python $(YARDSTICK)/bin/python

clean:
	rm -rf $(VENV) .venv-lock .venv-plugins $(YARDSTICK) $(SITE) .bench .bench-* .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .lint build dist cacapp_demo
