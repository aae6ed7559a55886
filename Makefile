# Every verb sets up what it lacks, and is quick when there is nothing to do. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Every test starts programs of ours: with byte-code they start in half the CPU time.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
BIN := .venv/bin
STEP := scripts/step.sh
READY := .venv/ready
DISTRIBUTIONS := operator service simulator
LOCKED := $(wildcard requirements/*.txt) $(DISTRIBUTIONS:%=%/pyproject.toml) pyproject.toml
QUICK := not programs and not api and not cluster and not images and not faults and not soak

.PHONY: help setup packages check test unit images base-image demo demo-down cluster cluster-down generate lock fmt bench soak clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with every locked dependency and the three distributions

$(READY): $(LOCKED) scripts/setup.sh
	@$(STEP) "Python environment (.venv)" scripts/setup.sh $(PYTHON)
	@touch $@

packages: # Debian packages that the images and the cluster need
	@scripts/packages.sh

check: setup ## static checks and the quick tests (under 60 s)
	@$(STEP) "ruff" $(BIN)/ruff check -q .
	@$(STEP) "ruff format" $(BIN)/ruff format -q --check .
	@$(STEP) "mypy" $(BIN)/mypy
	@$(STEP) "import-linter" $(BIN)/lint-imports --no-logo
	@$(STEP) "generated files are current" $(BIN)/python scripts/generate.py --check
	@$(STEP) "quick tests" $(BIN)/pytest -q -m "$(QUICK)"

test: setup packages ## everything: check, images, API server and cluster tests (35 min cold)
	@$(STEP) "binaries and images" scripts/build_all.sh
	@$(MAKE) check
	@$(STEP) "tests of whole programs" $(BIN)/pytest -q -m programs
	@$(STEP) "tests of the images" $(BIN)/pytest -q -m images
	@$(STEP) "tests on a real API server" $(BIN)/pytest -q -m api
	@$(STEP) "tests on a real cluster" $(BIN)/pytest -q -m cluster

images: setup packages ## build the three images into .build/images
	@$(BIN)/python scripts/images.py build

base-image: setup packages ## make the base image from Debian's packages
	@$(BIN)/python scripts/images.py base

cluster: setup packages ## a real Kubernetes on this machine (or the one of KUBECONFIG / CONTEXT)
	@$(BIN)/python -m devcluster up

cluster-down: setup ## stop and remove the devcluster
	@$(BIN)/python -m devcluster down

demo: setup packages ## from nothing to a chatting cluster
	@$(BIN)/python -m scripts.demo up

demo-down: setup ## remove the demo and the devcluster
	@$(BIN)/python -m scripts.demo down

generate: setup ## write every generated file anew (CRD, chart copy)
	@$(BIN)/python scripts/generate.py

lock: setup ## compile the hash-pinned requirement files from the pyproject files
	@scripts/lock.sh

fmt: setup ## format and fix what can be fixed by a machine
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

bench: setup ## measure the service on loopback against the simulator (ROUNDS=n)
	@$(BIN)/python -m bench.service --rounds $(or $(ROUNDS),5)

soak: setup packages ## the same suites at full size, on demand
	@SOAK=1 $(STEP) "all suites at full size" $(BIN)/pytest -q

clean: ## remove what the build made here (not the caches)
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .hypothesis
