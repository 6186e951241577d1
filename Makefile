# Homewright. `make try` runs the main job, `make test` runs every test; both fetch what they need and say so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/homewright
UV := $(CACHE)/tools/uv-$(UV_VERSION)/bin/uv
BIN := .venv/bin
# Tests work in memory where there is room (an instance of a practice server takes a disk of 20 GiB, of which it uses
# little): what must be on the disk is proved by the order of the calls.
ROOM := $(shell [ -w /dev/shm ] && df -BG --output=avail,size /dev/shm 2>/dev/null | tail -1 | awk '$$1 + 0 >= 12 && $$2 + 0 >= 22 { print "/dev/shm" }')
PYTEST := $(if $(ROOM),TMPDIR=$(ROOM)) $(BIN)/pytest -q
# Byte code is kept, whatever the caller says: without it each of the many programs that tests start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# What the tests need beyond Python: the lab's own packages are named and installed by `homewright lab up`.
UNIT_PACKAGES := tmux strace openssl openssh-client zsh fish git busybox
TEST_PACKAGES := $(UNIT_PACKAGES) chromium libnss3-tools

.PHONY: help try test test-long check bench machines format clean

help:
	@printf '%s\n' \
	  'make try        practice servers on this machine, then the wizard (YES=1: line by line, to a running workspace)' \
	  'make test       every test: lint, types, unit, whole programs, screens, practice servers, browser' \
	  'make test-long  the campaigns: all power cuts, all kills, long fuzzing' \
	  'make check      lint, types and unit tests, for every commit; screens and whole programs are in make test' \
	  'make bench      figures, each as a ratio against a peer or a limit in the same run' \
	  'make clean      practice servers down, build outputs away; caches stay'

$(UV):
	@python=$$(command -v python3) || { echo "Homewright needs Python 3.11, 3.12 or 3.13: $(SUDO) apt-get install python3" >&2; exit 1; }
	$$python -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13))' || \
	  { echo "Homewright needs Python 3.11, 3.12 or 3.13; this is $$($$python --version)" >&2; exit 1; }
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then
	  echo "Installing python3-venv (Debian's package for virtual environments)"
	  $(SUDO) apt-get update -qq
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv > /dev/null
	fi
	echo "Fetching uv $(UV_VERSION) into $(CACHE)/tools"
	mkdir -p -m 0700 $(CACHE)
	$$python -m venv $(CACHE)/tools/uv-$(UV_VERSION)
	$(CACHE)/tools/uv-$(UV_VERSION)/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)

.venv/.made: uv.lock pyproject.toml | $(UV)
	@echo "Installing Homewright and its pinned dependencies into .venv"
	UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --quiet
	touch $@

try: .venv/.made
	@if [ -t 0 ] && [ -t 1 ] && [ "$${TERM:-dumb}" != dumb ] && [ -z "$(YES)" ]; then
	  $(BIN)/homewright lab up
	  exec $(BIN)/homewright --site practice
	fi
	$(BIN)/homewright lab up --yes
	$(BIN)/homewright --site practice trust --all --practice
	$(BIN)/homewright --site practice apply --yes --plain
	$(BIN)/homewright lab bundle > /dev/null
	$(BIN)/homewright --site practice workspace create "$$(id -un)" --accept-shared-node
	$(BIN)/homewright --site practice workspace open "$$(id -un)"

# The marks of all that is no unit test. Everything in these folders has one, tests/screens by tests/conftest.py: to import
# none of it, nor the toolkit that pictures are compared with, saves each worker a quarter of its collecting.
MARKS := lab or browser or install or screens or programs
MARKED := --ignore=tests/screens --ignore=tests/browser --ignore=tests/integration -p no:textual-snapshot -p no:syrupy

check: .venv/.made unit-packages
	@$(BIN)/ruff format --check --quiet . || { echo "make format"; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	imports=$$($(BIN)/lint-imports 2>&1) || { echo "$$imports"; exit 1; }
	$(PYTEST) -n 2 --dist worksteal $(MARKED) -m "not ($(MARKS) or long)"

format: .venv/.made
	@$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --quiet .

# $(call installed,PACKAGES): those of them that are missing are named and installed.
define installed
@command -v dpkg-query > /dev/null || exit 0  # another system than Debian's: a test names what it misses
missing=()
for package in $(1); do
  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing+=($$package)
done
if [ $${#missing[@]} -gt 0 ]; then
  echo "Installing for the tests: $${missing[*]}"
  $(SUDO) apt-get update -qq
  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $${missing[*]} > /dev/null
fi
endef

.PHONY: unit-packages test-packages
unit-packages:
	$(call installed,$(UNIT_PACKAGES))

test-packages:
	$(call installed,$(TEST_PACKAGES))

ON_SERVERS := "($(MARKS)) and not long"
# They wait for servers most of their time: docs/decisions/0190.
WORKERS := 4
# docs/decisions/0161 says why a few may be tried again.
# Workers end the names of tests with their row (@engine): without workers they have none, and no test would be found.
FEW := 5
FAILED := .pytest_cache/v/cache/lastfailed

test: test-packages check
	@$(BIN)/homewright lab prepare --yes
	@rm -f $(FAILED); code=0; $(PYTEST) -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m $(ON_SERVERS) --durations=15 || code=$$?
	if [ $$code = 1 ] && [ "$$(grep -c :: $(FAILED))" -le $(FEW) ]; then
	  echo "Once more what failed, on servers of its own and with nothing beside it:"
	  sed -i -E 's/@[a-z]+": true/": true/' $(FAILED)
	  code=0; $(PYTEST) -m $(ON_SERVERS) --lf --lfnf=none || code=$$?
	  [ $$code != 0 ] || echo "It passed the second time only: that is a fault all the same, to be found by what stands above."
	fi
	exit $$code

test-long: .venv/.made test-packages
	@$(BIN)/homewright lab prepare --yes
	$(PYTEST) -m long --durations=15

bench: .venv/.made test-packages
	@$(BIN)/python -m benchmarks

# The composed ones among the recorded machines, written anew: CONTRIBUTING says when.
machines: .venv/.made
	PYTHONPATH=tests $(BIN)/python -m discovery.composing

clean:
	@[ ! -x $(BIN)/homewright ] || $(BIN)/homewright lab down
	rm -rf .venv .pytest_cache .import_linter_cache .mypy_cache .ruff_cache dist build
