# make demo, make test, make test-fast, make lint, make types, make docs: each installs what it needs
# first.
# An active virtual or conda environment is used as it is; without one, .venv is made here.

PYTHON3 ?= python3
ACTIVE := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
PYTHON := $(or $(ACTIVE),.venv)/bin/python
# One process more than processors, as some tests wait for others; with one thread, as the networks
# of the tests are tiny. Python may keep what it compiles, also where the environment forbids it:
# the tests start hundreds of processes that import torch.
NUM_PROCESSES := $(shell $(PYTHON3) -c "import os; print(min(os.cpu_count() + 1, 8))")
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(NUM_PROCESSES) --dist worksteal

.PHONY: demo test test-fast lint types docs install

demo: install
	$(PYTHON) tools/demo.py

test: install
	$(PYTEST)

# These wait for nobody, and each process more takes seconds to collect them.
test-fast: install
	$(PYTEST) -n logical -m "not slow"

lint: install
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

# The public names: seconds, the first time a minute.
types: install
	$(PYTHON) -m mypy

# The site in site/; a broken link is an error (with --quiet none is found).
docs: install
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

ifeq ($(ACTIVE),)
install: .venv/installed

.venv/installed: pyproject.toml setup.py
	$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON3) -m venv --clear .venv
	$(PYTHON) -m pip install --no-compile --editable '.[dev]'
	touch $@
else
# Asked from another folder, for here any Python finds the package.
install:
	@cd / && $(PYTHON) -c "import os, av, cv2, filelock, fvcore, jinja2, mkdocstrings, psutil, pytest, simplejson, slowfast, xdist; \
	    assert slowfast.__file__ == os.path.join('$(CURDIR)', 'slowfast', '__init__.py')" \
	    2>/dev/null || $(PYTHON) -m pip install --editable '$(CURDIR)[dev]'
endif
