# Cohort's commands: `make` alone lists them. Each makes or refreshes .venv first, when its lock file changed.
# More words for a command go into ARGS, as in `make run ARGS="--port 9000"` or `make test ARGS="-k feed"`.

PYTHON := .venv/bin/python
# Test processes: tests wait for databases more than they compute, so some more than a small machine has cores.
WORKERS ?= 5
# Where Python may not keep what it has compiled, every test process compiles all of it again: 6 s each.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --maxschedchunk 1
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run demo install test check bench fmt lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

run: install ## Start the server with its own database and demo data on http://127.0.0.1:8000
	@exec $(PYTHON) server.py --demo $(ARGS)

demo: install ## Watch two simulated members in the running server's feed
	@exec $(PYTHON) -m scripts.demo $(ARGS)

install: ## Make .venv with all that running and testing need
	@sh .ci/venv requirements-dev.txt

test: install ## Run the tests
	@$(PYTEST) $(ARGS)

check: install ## Format check, lint, types, audits, tests with coverage; changes no file
	@$(PYTHON) -m ruff format --check --quiet . || { echo 'Not formatted as agreed: run `make fmt`.'; exit 1; }
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m bandit --quiet --configfile pyproject.toml --recursive --severity-level medium .
	@sh .ci/audit
	@$(PYTEST) --cov --cov-branch --cov-report=term --cov-fail-under=95 $(ARGS)

bench: install ## Run the benchmarks beside their peers (some minutes)
	@sh .ci/venv requirements-bench.txt
	@$(PYTHON) -m tests.benchmarks $(ARGS)

fmt: install ## Format, and mend what lint can mend
	@$(PYTHON) -m ruff check --fix --quiet . ; $(PYTHON) -m ruff format .

lock: install ## Lock the dependencies again (ARGS="--upgrade" takes newer versions)
	@for name in requirements requirements-s3 requirements-dev requirements-bench; do \
		$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
			$(ARGS) $$name.in --output-file $$name.txt || exit 1; \
	done

clean: ## Remove .venv and all caches; the data directory stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +
