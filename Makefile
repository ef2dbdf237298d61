# make search: the first search, on the built-in digits.   make test: the whole suite.   make lint: style and types.
# make nightly: every fault of docs/durability.md.   make docs: a site of all pages and docstrings.
# make release: wheel and sdist in dist/, once metadata, changelog and tree are what a release needs.
# make gpu: proves and measures the CUDA path, on a machine with a GPU (MINUTES=20); installs nothing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MINUTES ?= 20

.PHONY: search test types tests nightly gpu lint docs release clean

search: $(VENV)/.installed
	$(BIN)/nas search nas/searches/quick.yaml

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j2 types tests

# Beside each other, for the end of either leaves a core idle: half a minute on a fresh clone.
types: $(VENV)/.installed-test
	$(BIN)/mypy

tests: $(VENV)/.installed-test
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile --durations=5 -rR

nightly: $(VENV)/.installed-test $(VENV)/.installed-docs
	$(BIN)/pytest -q -m nightly -s --durations=20

gpu:
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) tests/benchmarks/gpu --minutes $(MINUTES)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -c docs -d build/doctrees . build/docs
	@echo build/docs/index.html

release: $(VENV)/.installed-test
	$(BIN)/python .ci/release.py

$(VENV)/.installed: pyproject.toml
	@echo "installing into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need ..."
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "installing what the site needs ..."
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
