# Every verb sets up what it lacks, and is quick when there is nothing to do. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Every test starts programs of ours: with byte-code they start in half the CPU time.
export PYTHONDONTWRITEBYTECODE :=
# iptables and conntrack are there, where those who became root by `su` do not look.
export PATH := $(PATH):/usr/sbin:/sbin
# The file VERSION says what is built and deployed here, not the shell's variable of that name.
unexport VERSION

PYTHON ?= python3
BIN := .venv/bin
STEP := scripts/step.sh
READY := .venv/ready
DISTRIBUTIONS := operator service simulator
LOCKED := requirements/dev.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
QUICK := not programs and not soak and not api and not faults and not cluster and not images
# Two at a time, each with half of the tests until one has none left: modules stay together, and so do what they start.
IN_TWO := -n 2 --dist worksteal
# Three modules at a time, for they mostly wait; those first that take longest. A module's own tests may share a program, a folder or a core.
WAITING := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup check test images base-image demo demo-down cluster cluster-down generate lock fmt bench soak monitoring-test sbom scan clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with every locked dependency and the three distributions

$(READY): $(LOCKED) scripts/setup.sh
	@$(STEP) "Python environment (.venv)" scripts/setup.sh $(PYTHON)
	@touch $@

check: setup ## static checks and the quick tests (under 60 s)
	@scripts/packages.sh tests
	@$(STEP) "ruff" $(BIN)/ruff check -q .
	@$(STEP) "ruff format" $(BIN)/ruff format -q --check .
	@$(STEP) "mypy" $(BIN)/mypy
	@$(STEP) "import-linter" $(BIN)/lint-imports --no-logo
	@$(STEP) "generated files are current" $(BIN)/python scripts/generate.py --check
	@$(STEP) "quick tests" $(BIN)/pytest -q $(IN_TWO) -m "$(QUICK)"

test: setup ## everything: check, whole programs, images, API server, faults and cluster
	@scripts/packages.sh tests images compose devcluster
	@$(STEP) "binaries and images" scripts/build_all.sh
	@$(MAKE) check
	@$(STEP) "tests of whole programs" $(BIN)/pytest -q $(WAITING) -m programs
	@$(STEP) "attacks, long runs and outages" $(BIN)/pytest -q -m soak
	@$(STEP) "tests of the images" $(BIN)/pytest -q -m images
	@$(STEP) "tests on a real API server" $(BIN)/pytest -q $(WAITING) -m api
	@$(STEP) "faults between operator and API server" $(BIN)/pytest -q $(WAITING) -m faults
	@$(STEP) "tests on a real cluster" $(BIN)/pytest -q -m cluster

images: setup ## build the three images into .build/images
	@scripts/packages.sh images
	@$(BIN)/python scripts/images.py build

base-image: setup ## make the base image from Debian's packages
	@scripts/packages.sh images
	@$(BIN)/python scripts/images.py base

cluster: setup ## a real Kubernetes on this machine (or the one of KUBECONFIG / CONTEXT)
	@scripts/packages.sh cluster
	@$(BIN)/python -m devcluster ensure

cluster-down: setup ## stop and remove the devcluster
	@$(BIN)/python -m devcluster down

demo: setup ## from nothing to a chatting cluster
	@scripts/packages.sh images cluster
	@$(BIN)/python -m scripts.demo up

demo-down: setup ## remove the demo and the devcluster
	@$(BIN)/python -m scripts.demo down

generate: setup ## write every generated file anew (scripts/generate.py lists them)
	@$(BIN)/python scripts/generate.py

lock: setup ## compile the hash-pinned requirement files from the pyproject files
	@scripts/lock.sh

fmt: setup ## format and fix what can be fixed by a machine
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

bench: setup ## measure the service and the operator beside what others would use (ROUNDS=n)
	@$(BIN)/python -m bench.service --rounds $(or $(ROUNDS),3)
	@$(BIN)/python -m bench.operator --rounds $(or $(ROUNDS),3)

soak: setup ## the same suites at full size, on demand
	@scripts/packages.sh tests images compose devcluster
	@$(STEP) "binaries and images" scripts/build_all.sh
	@SOAK=1 $(STEP) "all suites at full size" $(BIN)/pytest -q -o faulthandler_timeout=7200

monitoring-test: setup ## a real Prometheus watches real chatbots: alerts fire and clear, on demand
	@scripts/packages.sh images devcluster
	@$(STEP) "binaries and images" scripts/build_all.sh
	@$(STEP) "Prometheus" $(BIN)/python -m devcluster build promtool prometheus
	@SOAK=1 $(STEP) "alerts and dashboards" $(BIN)/pytest -q tests/monitoring tests/cluster/test_monitoring.py

sbom: images ## what is in each image, as CycloneDX JSON in .build/sbom, on demand
	@$(STEP) "bills of materials" $(BIN)/python -m scripts.sbom

scan: sbom ## secrets, unsafe calls, container posture, known vulnerabilities, on demand
	@$(STEP) "scanners" $(BIN)/python -m scripts.scan

clean: ## remove what the build made here (not the caches)
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
