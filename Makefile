# Needs Python 3.10-3.12, git, make and, for some checks and tests, Node.js. Everything
# else is installed into ignored folders: .build .venv node_modules .data

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# uv from the PATH, or a pinned one of our own.
UV := $(or $(shell command -v uv 2>/dev/null),.build/uv/bin/uv)
RUN := $(UV) run --no-sync
# Use .venv even if another environment is active.
unexport VIRTUAL_ENV
# Tests start LNbits some seventy times; without bytecode each start compiles it anew.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1

VENV := .venv/.synced
LINK := .build/ext/nostrclient
NPM := $(shell command -v npm 2>/dev/null)
NODE_MODULES := node_modules/.synced
# A relay in Python that some tests run; it needs an environment of its own.
PYTHON_RELAY := .build/relay/.synced
# Without Node.js, checks that need it are skipped; with NOSTRCLIENT_NO_SKIP=1 they fail.
NO_NODE := test "$${NOSTRCLIENT_NO_SKIP:-0}" != 1
PORT ?= 5000
RELAYS ?=
# More than there are cores, because most tests wait.
WORKERS ?= 4
MINUTES ?= 2
ROUNDS ?= 50

.PHONY: pictures help run demo bench soak several upgrade test fuzz attacks check format mypy pyright ruff black prettier checkruff \
	checkblack checkprettier pre-commit install-pre-commit-hook requirements \
	release test-matrix

help:
	@echo "make run          start LNbits with nostrclient and two local relays; PORT=5000 RELAYS='wss://…'"
	@echo "make demo         send notes through the running instance and print their delays"
	@echo "make test         run all tests; ARGS='-k _d4_' runs those of rule D4"
	@echo "make check        check types, lint and format"
	@echo "make format       repair lint and format"
	@echo "make bench        measure speed; BASE=dev/bench_baseline.json ARGS='--short' or '--curves'"
	@echo "make soak         break connections at random and look for lost events; MINUTES=30 SEED=1"
	@echo "make several      kill one of two LNbits on one PostgreSQL again and again; ROUNDS=50 ARGS='--faults split'"
	@echo "make upgrade      upgrade a running LNbits under load; FROM=folder of an earlier version"
	@echo "make fuzz         run the random tests with more examples; MINUTES=10"
	@echo "make attacks      run attacks and print their effect on the host as a table; OUT=file"
	@echo "make pictures     keep pictures of the page in five situations; OUT=folder"
	@echo "make release      build the zip that LNbits installs"
	@echo "make test-matrix  run tests on the oldest and newest LNbits and Python (takes long)"
	@echo "make requirements pin all development packages anew"

# --- use

run: $(VENV)
	@$(RUN) python -m dev.run --port $(PORT) --relays "$(RELAYS)"

demo: $(VENV)
	@$(RUN) python -m dev.demo --port $(PORT)

# --- test

# Figures are written as JSON; BASE=old.json compares them with earlier ones.
bench: $(VENV) $(LINK)
	@$(RUN) python -m dev.bench --out "$(or $(OUT),.build/bench.json)" $(if $(BASE),--base "$(BASE)") $(ARGS)

soak: $(VENV)
	@$(RUN) python -m dev.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

several: $(VENV)
	@$(RUN) python -m dev.several --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

upgrade: $(VENV) $(LINK)
	@$(RUN) python -m dev.upgrade "$(FROM)" $(ARGS)

test: $(VENV) $(LINK) $(NODE_MODULES) $(PYTHON_RELAY)
	$(RUN) pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The random tests of `make test`, with ten times the examples, until the time is over.
fuzz: $(VENV) $(LINK)
	@end=$$((SECONDS + 60 * $(MINUTES))); \
	while ((SECONDS < end)); do \
	  FUZZ_EFFORT=10 $(RUN) pytest tests/fuzz -q --timeout 3600 --hypothesis-seed=$$RANDOM $(ARGS); \
	done

# The page in five situations, at four widths, light and dark, in two languages.
pictures: $(VENV) $(LINK) $(NODE_MODULES)
	@NOSTRCLIENT_PICTURES=$(or $(OUT),$(CURDIR)/.build/pictures) $(RUN) pytest tests/browser/test_pictures.py -q $(ARGS)

attacks: $(VENV) $(LINK)
	@ATTACK_TABLE=$(or $(OUT),.build/attacks.txt) $(RUN) pytest tests/security/test_hostile_load.py -q $(ARGS)
	@cat $(or $(OUT),.build/attacks.txt)

check: mypy pyright checkblack checkruff checkprettier

format: prettier black ruff

mypy: $(VENV) $(LINK)
	$(RUN) mypy | sed 's#^$(LINK)/##'

pyright: $(VENV) $(LINK) $(NODE_MODULES)
ifdef NPM
	$(RUN) node_modules/.bin/pyright
else
	@echo "pyright skipped: there is no Node.js"; $(NO_NODE)
endif

black: $(VENV)
	$(RUN) black .

checkblack: $(VENV)
	$(RUN) black --check .

ruff: $(VENV)
	$(RUN) ruff check --fix .

checkruff: $(VENV)
	$(RUN) ruff check .

prettier: $(NODE_MODULES)
ifdef NPM
	node_modules/.bin/prettier --write .
else
	@echo "prettier skipped: there is no Node.js"; $(NO_NODE)
endif

checkprettier: $(NODE_MODULES)
ifdef NPM
	node_modules/.bin/prettier --check .
else
	@echo "prettier skipped: there is no Node.js"; $(NO_NODE)
endif

pre-commit: $(VENV) $(LINK) $(NODE_MODULES)
	$(RUN) pre-commit run --all-files

install-pre-commit-hook: $(VENV)
	$(RUN) pre-commit install

# --- release

release: $(VENV)
	@$(RUN) python -m dev.release

# ARGS='--lnbits 1.5.6 --python 3.11 -- tests/e2e' selects a part.
test-matrix: $(VENV) $(LINK) $(NODE_MODULES)
	@$(RUN) python -m dev.matrix --uv "$(UV)" $(ARGS)

# --- install

.build/uv/bin/uv: dev/uv.txt
	python3 -m venv --clear .build/uv
	.build/uv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r dev/uv.txt
	@touch $@

$(VENV): requirements-dev.txt $(filter .build/%,$(UV))
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --require-hashes requirements-dev.txt
	@touch $@

$(PYTHON_RELAY): dev/relay.txt $(filter .build/%,$(UV))
	$(UV) venv --quiet --allow-existing .build/relay
	$(UV) pip sync --quiet --require-hashes --python .build/relay dev/relay.txt
	@touch $@

$(NODE_MODULES): package.json package-lock.json
ifdef NPM
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
endif

$(LINK):
	@mkdir -p $(@D) && ln -sfn "$(CURDIR)" $@

# For all supported Pythons and platforms.
PIN := pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.10 \
	--no-annotate --no-emit-index-url --custom-compile-command "make requirements"
requirements: $(filter .build/%,$(UV))
	$(UV) $(PIN) -o requirements-dev.txt requirements-dev.in
	$(UV) $(PIN) -o dev/uv.txt dev/uv.in
	$(UV) $(PIN) -o dev/relay.txt dev/relay.in
