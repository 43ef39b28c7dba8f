# Every target sets itself up in .venv on a machine that has Python >= 3.11, pip and make.
#   make PYTHON=python3.12 demo      another interpreter
#   make PIP_ARGS="..." test         more options for pip, e.g. an index with CPU builds of torch

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS)
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow coverage lint format docs bench bench-smoke bench-gpu dist clean distclean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

# ---- set-up: a stamp per set of dependencies, touched only after pip succeeded ----------------------------------

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "structkit needs Python >= 3.11; use make PYTHON=...")'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-base: pyproject.toml constraints.txt | $(PY)
	@echo "installing structkit into $(VENV) (the first time takes a few minutes)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.stamp-%: pyproject.toml constraints.txt | $(PY)
	@echo "installing structkit[$*] into $(VENV) (the first time takes a few minutes)"
	@$(PIP) -e ".[$*]"
	@touch $@

# ---- for users --------------------------------------------------------------------------------------------------

demo: $(VENV)/.stamp-base  ## every model on its first real job; tables, and figures in demo_output/
	@mkdir -p demo_output
	$(PY) examples/pde/demo_pde.py --output demo_output
	$(PY) examples/sbl/demo_sbl.py --output demo_output
	$(PY) examples/dictionary/demo_dictionary.py --output demo_output
	$(PY) examples/tucker/demo_beijing.py --output demo_output
	$(PY) examples/gp/demo_indian_pines.py --output demo_output

test: $(VENV)/.stamp-test  ## the test suite with its doctests (WORKERS=2 processes)
	$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS)

# ---- for developers ---------------------------------------------------------------------------------------------

test-slow: $(VENV)/.stamp-test  ## reproductions and large problems, left out of make test
	$(PY) -m pytest -m slow

coverage: $(VENV)/.stamp-coverage  ## lines of the package that the tests run; rewrites docs/coverage.rst
	$(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) --cov --cov-report=json:.coverage.json
	$(PY) -m tests.house.coverage .coverage.json docs/coverage.rst

lint: $(VENV)/.stamp-lint  ## formatting, style, types, docstrings, spelling, import graph
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy structkit
	$(PY) -m tests.house.docstrings
	$(PY) -m tests.house.imports
	$(VENV)/bin/codespell

format: $(VENV)/.stamp-lint  ## format and sort imports
	$(VENV)/bin/ruff check --fix --select I .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.stamp-docs  ## the site with its gallery, in docs/_build/html; warnings are errors
	$(ONE_THREAD) $(PY) -m sphinx -W --keep-going -q -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(VENV)/.stamp-bench  ## compare with other libraries on one and two threads; rewrites the pages of the docs
	$(PY) -m tests.benchmarks --threads 1 2 --write docs/benchmarks.rst
	$(PY) -m tests.benchmarks --only scaling --write docs/scaling.rst

bench-smoke: $(VENV)/.stamp-test  ## does every benchmark still run? Small and once, with the peers that are installed
	$(ONE_THREAD) $(PY) -m tests.benchmarks --quick

bench-gpu: $(VENV)/.stamp-bench  ## the same on a GPU; needs a CUDA build of torch
	$(PY) -m tests.benchmarks --only gpu

dist: $(VENV)/.stamp-release  ## build sdist and wheel, install the wheel into an empty environment, run the demos there
	$(PY) -m tests.house.release $(PIP_ARGS)

clean:  ## remove what was built, keep the environment
	rm -rf build dist docs/_build docs/gallery docs/generated docs/sg_execution_times.rst demo_output *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.json
	find structkit tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)
