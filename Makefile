# Everything a developer types. scripts/ does the work, and needs nothing but Python 3.11.

PYTHON ?= python3
PORT ?= 8000
VENV_PYTHON = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test lint format screenshots bench drill messages dev

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /make \1 - /p' Makefile

# For scripts/environment.py, which see.
run test: export MAKE_PID = $(shell echo $$PPID)

run: ## set everything up and start the site (PORT=8001 for another port)
	@$(PYTHON) scripts/run.py $(PORT)

test: ## run the tests (ARGS="-k login" for some of them)
	@$(PYTHON) scripts/test.py $(ARGS)

lint: dev ## check style and types
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m ruff format --check
	$(VENV_PYTHON) -m mypy

format: dev ## fix the style
	$(VENV_PYTHON) -m ruff check --fix
	$(VENV_PYTHON) -m ruff format

screenshots: dev ## picture every page, letter and page of the admin; ten minutes (ARGS="register" for some)
	$(VENV_PYTHON) -m tests.e2e.screenshots $(ARGS)

bench: dev ## measure, beside others; five minutes, as root, with Debian's exim4-daemon-light and PostgreSQL (FULL=1: hours)
	$(VENV_PYTHON) -m bench $(if $(FULL),--full)

drill: dev ## put faults on a running site, and show what each costs (ARGS="locked"); as root, a quarter of an hour
	$(VENV_PYTHON) -m bench.drill $(ARGS)

# Locations without line numbers: translators see the file, and moving a line changes no .po.
# makemessages already skips every name with a leading dot, such as .venv.
# With the settings of the tests, because a fresh clone has no secrets.json yet.
messages: export DJANGO_SETTINGS_MODULE = tests.settings
messages: dev ## collect texts for translation, and compile them (needs gettext)
	$(VENV_PYTHON) manage.py makemessages --locale ko --locale zh_Hant --no-obsolete --add-location file --ignore tests --ignore bench --ignore scripts
	@$(PYTHON) scripts/environment.py

dev: # .venv with the tools of the targets above
	@$(PYTHON) scripts/environment.py
