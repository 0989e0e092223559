# Everything a developer does here; `make help` lists it.
# PYTHON names another interpreter, ARGS is handed on: make test ARGS='tests/unit -x'
# WORKERS is how many tests run at a time.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
# Debian packages that tests start programs of.
TEST_PACKAGES := chromium curl haproxy iproute2 logrotate nginx nodejs openssl procps prometheus python3-venv redis-server rsyslog shellcheck sqlite3 strace systemd systemd-container
# Folders whose package-lock.json says what tests need of Node. Some systems' nodejs has npm in it.
NODE_FOLDERS := clients/ts tests/others
# More than two cores keep busy, because tests wait more than they work.
WORKERS := 5
TEST_PACKAGES += $(if $(shell command -v npm),,npm)
# Debian packages of rivals that benchmarks measure against.
BENCH_PACKAGES := libnginx-mod-nchan

.DEFAULT_GOAL := help
.PHONY: help install run cluster test test-long fuzz check format bench docs site lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.run ## the virtual environment with what the server needs

run: $(VENV)/.run ## the server with a simulated chain: no key, no network
	@$(BIN)/python bin/wd-server --demo $(ARGS)

cluster: $(VENV)/.test ## three servers behind nginx with a Redis of their own; ARGS=--redis-cluster
	@$(BIN)/python -m tests.cluster $(ARGS)

# The tests of a file share its servers, so they stay with one worker and in their order. Files come in
# order too: those of `unit` are short, and so end the run evenly.
test: $(VENV)/.test ## all tests but those that take minutes, several at a time
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(VENV)/.test ## those that take minutes, one after the other: chaos, clients of others
	@$(BIN)/python -m pytest -m long $(ARGS)

fuzz: $(VENV)/.test ## twenty times as many hostile inputs as the tests try
	@FUZZ=20 $(BIN)/python -m pytest -q tests/fuzz $(ARGS)

check: $(VENV)/.test ## lint, format, types, architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py tests/architecture

format: $(VENV)/.test ## rewrite the code as `make check` wants it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.bench ## measurements, one after the other, into bench/RESULTS.md
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.run ## what is written from code: pages of docs/, clients' types, conf/env.example, the dashboard
	@$(BIN)/python clients/write_kinds.py
	@$(BIN)/python -c 'from handlers import requests_page; print(requests_page.page(), end="")' >docs/requests.md
	@$(BIN)/python -c 'from handlers import events_page; print(events_page.page(), end="")' >docs/events.md
	@$(BIN)/python -c 'from wd_server.config import settings; print(settings.page(), end="")' >docs/settings.md
	@$(BIN)/python -c 'from wd_server.config import settings; print(settings.example(), end="")' >conf/env.example
	@$(BIN)/python conf/grafana/dashboard.py >conf/grafana/wd-server.json
	@$(BIN)/python -m bench.structure --svg >docs/structure.svg

site: $(VENV)/.test ## the documentation as a site, into build/site
	@$(BIN)/mkdocs build --strict

lock: ## resolve setup.py anew and write down the versions
	@.ci/lock

clean: ## remove what was made here, the virtual environment too
	@rm -rf $(VENV) build dist *.egg-info clients/python/*.egg-info clients/python/build .pytest_cache clients/python/.pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find bench bin clients handlers tests wd_server wd_tools -name __pycache__ -prune -exec rm -rf {} +

# The stamps are as new as what they were made from.
$(VENV)/.run: requirements.lock setup.py clients/python/pyproject.toml
	@echo 'wd-server: installing into $(VENV)'
	@test -x $(BIN)/pip || .ci/venv $(VENV)
	@$(PIP) --requirement requirements.lock
	@PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation --editable . --editable clients/python
	@touch $@

# A rival that can't be installed is named in the results.
$(VENV)/.bench: $(VENV)/.test requirements-bench.lock
	@.ci/debian $(BENCH_PACKAGES) || true
	@echo 'wd-server: installing what it is measured against'
	@$(PIP) --requirement requirements-bench.lock
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-dev.lock Makefile $(NODE_FOLDERS:%=%/package-lock.json)
	@$(if $(TEST_PACKAGES),.ci/debian $(TEST_PACKAGES))
	@echo 'wd-server: installing what tests need'
	@$(PIP) --requirement requirements-dev.lock
	@for folder in $(NODE_FOLDERS); do npm --prefix $$folder ci --silent --no-audit --no-fund || exit; done
	@touch $@
