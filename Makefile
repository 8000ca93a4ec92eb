# `make train` is all it takes on a fresh machine: it installs once, then trains.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := dev,sweep,tensorboard,redis,bench,data,policy
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install train test check check-options bench soak chaos clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Make .venv with Esper and its tools in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; try make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

train: $(STAMP) ## Train; ARGS="strategy=thompson epochs=10" sets options
	$(BIN)/esper train $(ARGS)

test: $(STAMP) ## Run the tests with branch coverage; ARGS selects some
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n 2 --cov --cov-report=term-missing:skip-covered)

check: $(STAMP) ## Format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-options: $(STAMP) ## Show that each option changes what a run does; ARGS="--sample 3" is quick
	$(BIN)/python -m experiments.options $(ARGS)

bench: $(STAMP) ## Measure the figures that Esper promises
	$(BIN)/python -m experiments.benchmarks $(ARGS)

soak: $(STAMP) ## Let a process work for a day's worth; ARGS="--runs 3 --steps 2000" is quick
	$(BIN)/python -m experiments.soak $(ARGS)

chaos: $(STAMP) ## Put faults into real runs; ARGS="--faults 1000" is all of it
	$(BIN)/python -m experiments.chaos $(ARGS)

clean: ## Remove caches and build output; runs/ and .venv stay
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .coverage build dist
	find esper tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +
