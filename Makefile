# One recipe each; every target makes the environment it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test lint bench-heads clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --upgrade pip
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	touch $@

test: install
	$(BIN)/python -m pytest tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-heads: install
	$(BIN)/python -m tests.benchmarks.heads

clean:
	rm -rf .venv build dist *.egg-info
