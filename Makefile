# Two commands do everything: `make demo` and `make test`. Both make .venv first; another Python: make PYTHON=python3.13 test
PYTHON ?= $(shell command -v python3 || command -v python)
VENV := .venv
BIN := $(VENV)/bin
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

PICTURES := $(addprefix picture-,darcy heat_equation robust_regression posterior certified_network)

.PHONY: demo pictures $(PICTURES) gallery tutorials environments release test test-all test-long mutants torture browser lint docs types check census golden costs atlas bench clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "langevax needs Python >= 3.11; $(PYTHON) is older. Name another: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.cli: pyproject.toml | $(BIN)/python
	@echo "Installing langevax[cli] into $(VENV); this takes about a minute."
	$(BIN)/python -m pip install --quiet --editable '.[cli]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing langevax[all], pytest and Sphinx into $(VENV); this takes minutes."
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group test --group docs
	@touch $@ $(VENV)/.cli

# Most of what it installs is never imported: Python compiles the rest when it is.
$(VENV)/.gate: pyproject.toml | $(BIN)/python
	@echo "Installing langevax[all] and all that the gate needs into $(VENV), PyTorch included; this takes minutes."
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[all]' --group test --group torch --group lint --group types --group docs
	@touch $@ $(VENV)/.cli $(VENV)/.dev $(VENV)/.lint

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

demo: $(VENV)/.cli  ## a real table: network, certificate, scores of other methods, out/concrete/report.html
	$(BIN)/langevax fit examples/data/concrete.csv --target compressive_strength --out out/concrete --force

SIZE ?= small
JOBS ?= 2

atlas: $(VENV)/.dev  ## every claim measured, out/atlas/atlas.md; in full: make atlas SIZE=full; again: FORCE=1
	$(BIN)/python papers/atlas.py --size $(SIZE) --jobs $(JOBS) $(if $(FORCE),--force) --out out/atlas

pictures: $(PICTURES)  ## the README's pictures, in out/

$(PICTURES): picture-%: $(VENV)/.cli
	$(BIN)/python examples/$*.py

# Tests run in as many processes as there are cores; more threads of linear algebra would wait for each other.
test test-all test-long mutants: export OPENBLAS_NUM_THREADS ?= 1

test: $(VENV)/.gate  ## the library proved in minutes: all but what is marked slow, a file at a time on each of two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not long"

test-all: $(VENV)/.gate browser  ## real servers, a browser, and the long statistical tests as well
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not long"

test-long: $(VENV)/.gate  ## the code of the documentation's pages, the scripts of examples/, and the claims of the papers
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m long

mutants: $(VENV)/.dev  ## mistakes that the tests must catch, planted one by one; a part of them: make mutants ONLY=pda
	$(BIN)/python -m tools.mutants --resume $(if $(ONLY),--only '$(ONLY)')

torture: $(VENV)/.dev  ## kills, two writers, full disks and damage to every kind of run and file, at most 30 minutes; in one: make torture QUICK=1
	$(BIN)/python -m tools.torture $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)')

BROWSERS := chromium chromium-browser google-chrome

browser:  ## Chromium for the tests of the report, installed where this user may
	@for name in $(BROWSERS); do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null; then echo "Chromium is installed."; \
	else echo "There is no Chromium and it could not be installed: the browser tests are skipped. Install it by hand to run them."; fi

gallery: $(VENV)/.dev  ## every script of examples/ run, and the gallery of the documentation written from them, in an hour
	$(BIN)/python -m tools.gallery --run

tutorials: $(VENV)/.dev  ## the tutorials run again, and their outputs and pictures written into docs/, in minutes
	$(BIN)/python -m tools.tutorials

$(VENV)/.release: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group release --group types
	@touch $@

environments: $(VENV)/.release  ## fresh environments of the oldest and the newest packages; one of them: make environments ONLY=3.11-oldest-uv
	$(BIN)/python -m tools.environments $(if $(ONLY),--only $(ONLY))

release: $(VENV)/.release  ## wheel and sdist in dist/, built twice and compared, with the types that a user sees
	$(BIN)/python -m tools.release

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(VENV)/.dev  ## the documentation as a site that opens without a server, out/site/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -d out/doctrees docs out/site
	$(BIN)/python -m tools.site_walk --links out/site

types: $(VENV)/.gate  ## type errors, and the share of public symbols whose type is known: at least 95 %
	$(BIN)/pyright
	$(BIN)/python -m tools.type_share 0.95

check: test lint types

golden: $(VENV)/.dev  ## draws, fits, certificates and rounds for fixed keys beside those recorded in tools/golden.json
	$(BIN)/python -m tools.golden

costs: $(VENV)/.dev  ## packages and MB of each extra; with SUITES=1 also the minutes of both suites from a cold cache
	$(BIN)/python -m tools.costs $(if $(SUITES),--suites)

census: $(VENV)/.gate  ## tokens, constants, functions and public names of each package, beside its budget
	$(BIN)/python -m tools.census

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

bench: $(VENV)/.bench  ## the tables of docs/benchmarks.md, measured here
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .cache out .pytest_cache .ruff_cache
