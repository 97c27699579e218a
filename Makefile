# Everything a person or CI calls. Needs make and Python 3.11–3.13; all else is put into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LAYERS := engine persistence actors api loadtest
# Extra arguments for the program behind a target: make run ARGS="--port 9000"
ARGS ?=
# Two more than there are cores, since tests also wait; each brings services of its own.
TEST_PROCESSES ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 2 )))
# What is imported is kept compiled, whatever the environment says: otherwise every process compiles all of it anew, which
# takes twice as long as importing it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run quick test test-long demo check pages pictures bench bench-engine clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: pages ## Set up .venv with the locked dependencies, and build the pages

# Only if a source has changed. Without npm there are no pages, and everything else.
pages: $(STAMP)
	@$(BIN)/python -m api.web.building || true

run: pages ## Serve on http://127.0.0.1:8000 with a demo season, until Ctrl-C
	@exec $(BIN)/boxoffice up --demo $(ARGS)

# All that starts nothing, but for the money machine, which takes half as long as all of that.
quick: $(STAMP) ## Run within a minute what needs no service, and a smoke test of the whole
	@exec $(BIN)/pytest -q -n $(TEST_PROCESSES) --dist loadfile -m "(plain or smoke) and not long" \
		--ignore tests/actors/money/test_money_machine.py $(ARGS)

test: pages ## Run the whole test suite, integration included
	@exec $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-long: $(STAMP) ## Run the few tests that take long, and look for stories that no run has told yet
	@exec $(BIN)/pytest -m "long or hypothesis" --hypothesis-profile=default $(ARGS)

demo: $(STAMP) ## Sell out a real venue to a crowd and audit the result
	@exec $(BIN)/boxoffice demo $(ARGS)

pictures: pages ## Take the README's pictures of the pages
	@exec $(BIN)/python -m tests.web.pictures

bench: $(STAMP) ## Measure bookings beside what one would have built instead
	@exec $(BIN)/python -m loadtest.bench $(ARGS)

bench-engine: $(STAMP) ## Measure the engine alone, piece by piece, in CPU time
	@exec $(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-timer=time.process_time --benchmark-sort=name \
		--benchmark-columns=median,iqr,rounds $(ARGS)

check: $(STAMP) ## Lint, format, types, layers, pages, compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m api.web.building --check
	@if docker compose version >/dev/null 2>&1; then \
		echo "docker compose config -q"; docker compose config -q; \
	else \
		echo "docker compose isn't here: docker-compose.yml not checked"; \
	fi

clean: ## Remove .venv and caches; the data in .boxoffice stays
	rm -rf api/web/node_modules api/web/built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate may be there and not work (a version manager's shim): it must run and say a version we support. uv comes from
# PATH or, into .venv, from PyPI; --inexact lets it stay there.
$(STAMP): pyproject.toml uv.lock Makefile
	@set -e; \
	supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	if ! $(BIN)/python -c "$$supported" >/dev/null 2>&1; then \
		python=; \
		for candidate in python3.13 python3.12 python3.11 python3 python; do \
			if $$candidate -c "$$supported" >/dev/null 2>&1; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$$python" ]; then echo "boxoffice needs Python 3.11, 3.12 or 3.13 on PATH" >&2; exit 1; fi; \
		rm -rf $(VENV); \
		if ! $$python -m venv $(VENV); then \
			rm -rf $(VENV); \
			echo "cannot make a virtual environment with $$python; on Debian and Ubuntu: apt install python3-venv" >&2; \
			exit 1; \
		fi; \
	fi; \
	uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
		uv=$(BIN)/uv; \
		if ! $$uv --version >/dev/null 2>&1; then \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
		fi; \
	fi; \
	UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON_DOWNLOADS=never "$$uv" sync --frozen --inexact --compile-bytecode --python $(BIN)/python; \
	$(BIN)/python -m compileall -q $(LAYERS); \
	touch $@
