# Everything a newcomer needs: `make demo` and `make test`. Both set up what is missing and can be run again at any time.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := .make
ON_POSTGRES := migrations audit_chain dashboard_live attempt_life_cycle

# llama.cpp is built for any x86-64 machine with AVX2 rather than for the one it is built on: a native build crashes on
# virtual machines that announce instructions which they do not have.
ifeq ($(shell uname -m),x86_64)
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF
else
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup models demo up test test-postgres test-torch browser lint check format bench bench-planning bench-dashboard campaign chaos clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

setup: $(DONE)/venv ## Install CareCall with its local models' runtimes into .venv

models: $(DONE)/venv ## Fetch the embedded speech and language models (about 1.4 GB, once)
	@$(BIN)/carecall models fetch

demo: models ## Hold one full voice call on this machine and show its report
	@$(BIN)/carecall demo $(ARGS)

up: models ## Run CareCall on this machine
	@$(BIN)/carecall up

test: models ## Run all tests but those in the browser and those with PyTorch
	@$(BIN)/python -m pytest -m "not browser and not torch" $(ARGS)

test-postgres: $(DONE)/venv $(DONE)/postgres ## Run the tests in which Postgres may differ on a server of their own
	@$(BIN)/python -m carecall.simulation.throwaway_postgres CARECALL_TEST_POSTGRES \
	  $(BIN)/python -m pytest $(addprefix tests/integration/test_,$(addsuffix .py,$(ON_POSTGRES))) $(ARGS)

test-torch: $(DONE)/venv ## Run the tests of models that run on PyTorch; installs it, with CUDA several GB, unless it is there
	@$(BIN)/python -m pip install --quiet --editable '.[torch]'
	$(BIN)/python -m pytest -m torch $(ARGS)

browser: models $(DONE)/chromium ## Go through the dashboard in Chromium; pictures of every screen are left in build/screenshots
	@$(BIN)/python -m pytest tests/browser $(ARGS)

lint: $(DONE)/venv ## Check format, style, types and the direction of imports
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test test-postgres browser ## Everything that must be green before a commit

format: $(DONE)/venv ## Format the code
	@$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: models ## Measure the latency of a voice call, stage by stage and beside pipecat's example bot, and the cost of understanding
	@$(BIN)/python benchmarks/voice.py $(ARGS)
	$(BIN)/python benchmarks/understanding.py --llm local

bench-planning: $(DONE)/venv ## Measure planning a day for 10,000 and 100,000 people
	@$(BIN)/python benchmarks/planning.py $(ARGS)

bench-dashboard: $(DONE)/venv $(if $(filter postgres,$(DATABASE)),$(DONE)/postgres) ## Measure every page of the dashboard with a million calls behind it; DATABASE=postgres on a server of its own
	@$(BIN)/python benchmarks/dashboard.py --database $(or $(DATABASE),sqlite) $(ARGS)

campaign: models ## Call N=200 simulated people, AT_ONCE=10, through a telephone exchange for tests
	@$(BIN)/python -m carecall.simulation.campaign_run --people $(or $(N),200) --at-once $(or $(AT_ONCE),10) $(if $(JSON),--json) $(ARGS)

chaos: models $(if $(filter postgres,$(DATABASE)),$(DONE)/postgres) ## Kill the program N=500 times while it calls people; DATABASE=postgres: two workers on a server of their own
	@$(BIN)/python -m carecall.simulation.chaos_run --kills $(or $(N),500) --database $(or $(DATABASE),sqlite) --workers $(or $(WORKERS),$(if $(filter postgres,$(DATABASE)),2,1)) $(ARGS)

clean: ## Remove the virtual environment and what was built
	rm -rf $(VENV) $(DONE) build dist *.egg-info

# Debian's packages that a recipe has put into the array `missing`.
define INSTALL
if [ $${#missing[@]} -gt 0 ]; then
  echo "==> Installing from Debian: $${missing[*]}"
  if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else
    echo "make: please install as root: apt-get install $${missing[*]}" >&2; exit 1
  fi
  $$sudo apt-get update -qq
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
fi
endef

$(DONE)/postgres: | $(DONE)/system
	@missing=()
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
	$(INSTALL)
	touch $@

$(DONE)/chromium: | $(DONE)/system
	@missing=()
	command -v chromium >/dev/null || missing+=(chromium)
	[ -n "$$(fc-list :lang=ko 2>/dev/null)" ] || missing+=(fontconfig fonts-noto-cjk)
	$(INSTALL)
	touch $@

$(DONE)/system:
	@mkdir -p $(DONE)
	missing=()
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
	[ -n "$$($(PYTHON) -c 'import os,sysconfig; print(os.path.join(sysconfig.get_paths()["include"],"Python.h") if os.path.exists(os.path.join(sysconfig.get_paths()["include"],"Python.h")) else "")')" ] || missing+=(python3-dev)
	command -v g++ >/dev/null || missing+=(build-essential)
	command -v espeak-ng >/dev/null || missing+=(espeak-ng)
	$(INSTALL)
	touch $@

$(DONE)/venv: pyproject.toml | $(DONE)/system
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: CareCall needs Python 3.11 or newer" >&2; exit 1; }
	[ -x $(BIN)/python ] || { echo "==> Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	echo "==> Installing CareCall (the first time llama.cpp is compiled, which takes 3 to 8 minutes)"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --no-warn-script-location --editable '.[local,piper,dev]' | grep --line-buffered -vE '^Requirement already satisfied|^  *(Using cached|Downloading )' || [ $${PIPESTATUS[0]} -eq 0 ]
	touch $@
