# Two commands do everything: `make demo` and `make test`. Both make .venv first; another Python: make PYTHON=python3.13 test
PYTHON ?= $(shell command -v python3 || command -v python)
VENV := .venv
BIN := $(VENV)/bin
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.2

.PHONY: demo test lint types check bench clean

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "langevax needs Python >= 3.11; $(PYTHON) is older. Name another: make PYTHON=python3.13 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed  ## real posterior and mean-field network, with figures in out/
	$(BIN)/python examples/first_steps.py

test: $(VENV)/.installed  ## the whole suite
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/pyright

check: test lint types

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

bench: $(VENV)/.bench  ## the tables of docs/benchmarks.md, measured here
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .cache out .pytest_cache .ruff_cache
