# `make` alone lists what there is. `make demo` and `make test` need nothing beforehand but Python 3.11+ and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NAME ?= pipeline
# Most of the tests' time is waiting (for brokers, sessions, processes), so more workers than cores.
TEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench oracle up down lock schemas crash clean

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt pyproject.toml
	@command -v uv >/dev/null || $(PYTHON) -m uv --version >/dev/null 2>&1 || $(PYTHON) -m pip install --quiet uv || \
	  { $(PYTHON) -m venv $(VENV)-uv && $(VENV)-uv/bin/pip install --quiet uv; }
	@UV="$$(command -v uv || { $(PYTHON) -m uv --version >/dev/null 2>&1 && echo $(PYTHON) -m uv; } || echo $(VENV)-uv/bin/uv)"; \
	  [ -d $(VENV) ] || $$UV venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	  VIRTUAL_ENV=$(VENV) $$UV pip sync --quiet --require-hashes requirements/dev.txt && \
	  VIRTUAL_ENV=$(VENV) $$UV pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP) ## make .venv from the locks and fetch the Kafka jars
	@$(BIN)/python -m handoff.embedded.jars

demo: setup ## the whole thing on this machine: a simulated county over MLLP, candidates against ground truth
	@$(BIN)/handoff demo

test: setup check ## every check and every test, on a real Kafka and Redis
	$(BIN)/pytest -q -n $(TEST_WORKERS) --dist loadfile

check: $(STAMP) ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Quix Streams for `make bench NAME=peers` (and, once it is there, NAME=stage), away from the product's own packages.
PEERS := $(VENV)-peers/.installed
$(PEERS): requirements/peers.txt | $(STAMP)
	@UV="$$(command -v uv || { $(PYTHON) -m uv --version >/dev/null 2>&1 && echo $(PYTHON) -m uv; } || echo $(VENV)-uv/bin/uv)"; \
	  [ -d $(VENV)-peers ] || $$UV venv --quiet --python $(BIN)/python $(VENV)-peers; \
	  VIRTUAL_ENV=$(VENV)-peers $$UV pip sync --quiet --require-hashes requirements/peers.txt
	@touch $@

bench: setup $(if $(filter peers,$(NAME)),$(PEERS)) ## one measurement: make bench NAME=parse|mllp|stage|pipeline|latency|restore|memory|update|refer|roster|soak|peers
	@$(BIN)/python -m bench.$(NAME)

SOAK_MESSAGES ?= 10000000
.PHONY: soak
soak: setup ## ten million messages through a worker: rate, memory over time, lost and repeated
	@$(BIN)/python -m bench.soak --messages $(SOAK_MESSAGES)

crash: setup ## the crash matrix, many rounds; the last line says what was lost or repeated
	HANDOFF_CRASH_ROUNDS=$${HANDOFF_CRASH_ROUNDS:-50} $(BIN)/pytest tests/crash -q -s

# Its own environment: nothing else needs atheris. What it finds goes to build/fuzz.
FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 0
.PHONY: fuzz
fuzz: $(STAMP) ## damaged input by the million: make fuzz FUZZ_RUNS=10000000 FUZZ_SECONDS=0
	@UV="$$(command -v uv || { $(PYTHON) -m uv --version >/dev/null 2>&1 && echo $(PYTHON) -m uv; } || echo $(VENV)-uv/bin/uv)"; \
	  [ -d $(VENV)-fuzz ] || $$UV venv --quiet --python $(BIN)/python $(VENV)-fuzz; \
	  VIRTUAL_ENV=$(VENV)-fuzz $$UV pip sync --quiet --require-hashes requirements/fuzz.txt
	@$(VENV)-fuzz/bin/python -m tests.fuzz $(FUZZ_RUNS) $(FUZZ_SECONDS)

ABUSE_SECONDS ?= 3600
.PHONY: abuse
abuse: setup ## odd feeds for an hour: make abuse ABUSE_SECONDS=3600; the last lines have what it cost
	HANDOFF_ABUSE_SECONDS=$(ABUSE_SECONDS) $(BIN)/pytest tests/abuse/test_generated.py -q -s

oracle: setup ## the batch oracle over 1,000 members, 2 years, 20 seeds
	$(BIN)/pytest tests/oracle -q -m large

up: setup ## an empty system that stays: listener, workers, directory, Kafka, Redis
	@$(BIN)/handoff up

down: setup ## stop what `make up` started
	@$(BIN)/handoff down

lock: ## resolve requirements/*.in anew
	uv pip compile -q --upgrade --generate-hashes --no-header requirements/runtime.in -o requirements/runtime.txt
	uv pip compile -q --upgrade --generate-hashes --no-header requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --upgrade --generate-hashes --no-header requirements/fuzz.in -c requirements/runtime.txt -o requirements/fuzz.txt
	uv pip compile -q --upgrade --generate-hashes --no-header requirements/peers.in -o requirements/peers.txt

schemas: $(STAMP) ## write schemas/ from the document types
	$(BIN)/python -m handoff.schemas

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) $(VENV)-uv $(VENV)-fuzz $(VENV)-peers .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
