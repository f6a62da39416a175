# These commands work in a fresh clone, with Python >= 3.11 and make. The README gives
# them without make, too.
PYTHON ?= python3
BIN := .venv/bin
PRESET ?= quick
MODEL ?=

.PHONY: reproduce paper shipped explore test docs check install clean

reproduce: install  ## trains one model, compares, probes and draws it; prints the report
	$(BIN)/python -m experiments.akyurek2023.one_model $(PRESET)

paper: install  ## makes every figure of the paper, from many models
	$(BIN)/python -m experiments.akyurek2023 $(PRESET)

shipped: install  ## draws what the models in the package show; trains nothing
	$(BIN)/python -m experiments.akyurek2023 shipped

explore: install  ## serves a page on which models are explored by hand; MODEL=runs/a adds one
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[experiments,explore]"
	$(BIN)/python -m experiments.explorer $(MODEL)

test: install  ## runs every test
	$(BIN)/python -m pytest -n 2 --dist loadfile

docs: .venv/docs  ## runs the tutorials and the examples of all pages, builds the site into site/
	$(BIN)/python -m docs.build_tutorials
	$(BIN)/python -m docs.website

check: install  ## checks lint, format, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Python >= 3.11 is needed, this is ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[experiments]" --group dev
	touch $@

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[experiments,docs]"
	touch $@

clean:
	rm -rf .venv results dist build site
