# Everything a contributor types. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
# The libraries to test with: the newest set that the interpreter can have.
LIBRARIES ?= $(shell $(PYTHON) -c 'import sys; print("django-6.1-sqlalchemy-2.1" if sys.version_info >= (3, 12) else "django-5.2-sqlalchemy-2.0")' 2>/dev/null)
CONSTRAINTS = constraints/$(LIBRARIES).txt
PYTEST_ARGS ?= --quiet --numprocesses auto --maxprocesses 8 --dist loadgroup
# What to test; everything when empty.
TESTS ?=

BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed

.DELETE_ON_ERROR:
.PHONY: help install test check test-matrix demo demo-serve bench bench-scale build constraints clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create the virtual environment (the other targets do it when they need it).

$(INSTALLED): pyproject.toml $(wildcard $(CONSTRAINTS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "pgq-orm needs Python 3.11 or newer, and $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot create virtual environments: install its venv package (on Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into $(VENV), once: $$($(PYTHON) --version), $(LIBRARIES)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

test: $(INSTALLED) ## Run the tests, on the embedded PostgreSQL or on PGQ_DSN's server.
	@$(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

check: $(INSTALLED) ## Check format, lint, types and import contracts.
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@DJANGO_SETTINGS_MODULE=tests.django_app.settings $(BIN)/mypy --no-error-summary pgq_orm pgq_orm_django tests benchmarks
	@DJANGO_SETTINGS_MODULE=example_project.shop.settings PGQ_DSN=postgresql:// $(BIN)/mypy --no-error-summary example_project
	@$(BIN)/lint-imports --no-logo

# The matrix: the oldest and the newest libraries, each with its own Python, and the oldest PostgreSQL.

matrix_test = PYTEST_ARGS='$(PYTEST_ARGS) -m "not packaging and not benchmarks"' $(MAKE) --no-print-directory test
find_python = $(firstword $(foreach candidate, \
	python3.$(1) $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.$(1).*/bin/python), \
	$(shell $(candidate) -c 'import sys; print(sys.executable)' 2>/dev/null)))
find_postgresql = $(firstword $(foreach candidate, \
	$(shell pg_config --bindir 2>/dev/null) /usr/lib/postgresql/$(1)/bin /usr/local/opt/postgresql@$(1)/bin, \
	$(if $(findstring (PostgreSQL) $(1).,$(shell $(candidate)/postgres --version 2>/dev/null)),$(candidate))))

test-matrix: test-python-3.11 test-python-3.13 test-postgresql-15 ## Run the tests on every version we promise, as far as it is installed.

test-python-3.11: LIBRARIES = django-5.2-sqlalchemy-2.0
test-python-3.13: LIBRARIES = django-6.1-sqlalchemy-2.1

.PHONY: test-python-3.11 test-python-3.13
test-python-3.11 test-python-3.13: test-python-3.%:
	$(eval found := $(call find_python,$*))
	@if [ -z "$(found)" ]; then echo "== SKIPPED: no Python 3.$* on PATH or in pyenv"; exit; fi; \
	echo "== Python 3.$*, $(LIBRARIES)"; \
	$(matrix_test) PYTHON=$(found) VENV=.venv-3.$* LIBRARIES=$(LIBRARIES)

.PHONY: test-postgresql-15
test-postgresql-15: test-postgresql-%:
	$(eval found := $(call find_postgresql,$*))
	@if [ -z "$(found)" ]; then echo "== SKIPPED: no PostgreSQL $* among the installed"; exit; fi; \
	echo "== PostgreSQL $*, $(found)"; \
	PGQ_DSN= PGQ_POSTGRES_BIN=$(found) $(matrix_test)

demo: $(INSTALLED) ## Place orders, send receipts, post the ledger, and count that nothing is missing.
	@$(BIN)/python -m example_project.demo

demo-serve: $(INSTALLED) ## Leave the example sites and their workers running.
	@$(BIN)/python -m example_project.demo --serve

bench: $(INSTALLED) ## Measure us, our peers and raw SQL. QUICK=1, ONLY=drain,latency, CONTESTANTS=…, WITHOUT=…, ROUNDS=5.
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
		$(if $(CONTESTANTS),--contestants $(CONTESTANTS)) $(if $(WITHOUT),--without $(WITHOUT)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-scale: $(INSTALLED) ## Plot what a job costs as backlog, history, queues, payload and workers grow. ONLY=…, HUGE=1, QUICK=1.
	@$(BIN)/python -m benchmarks.scale $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(HUGE),--huge)

build: $(INSTALLED) ## Build the wheel and the source distribution into dist/.
	@$(BIN)/python -m build --no-isolation --outdir dist .

constraints: ## Pin the newest versions of all libraries anew (needs Python 3.11 and 3.13).
	@.ci/pin $(call find_python,11) 'django~=5.2.0' 'sqlalchemy~=2.0.0' > constraints/django-5.2-sqlalchemy-2.0.txt
	@.ci/pin $(call find_python,13) 'django~=6.1.0' 'sqlalchemy~=2.1.0' > constraints/django-6.1-sqlalchemy-2.1.txt

clean: ## Remove everything that the other targets made.
	@rm -rf .venv .venv-* build dist benchmarks/.environments .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
