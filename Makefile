# Every target sets up what it needs; nothing is installed outside .venv.
#   PYTHON    the interpreter that makes .venv           (default: python3, 3.10 or newer)
#   PIP_ARGS  extra arguments for every `pip install`    (for example --extra-index-url of CPU wheels of torch)
#   ARGS      extra arguments for pytest or a script     (make test ARGS='-k splitting')
PYTHON ?= python3
PIP_ARGS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(PIP_ARGS)
export PIP_ARGS

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test mutants test-fast check format bench eval eval-bundled train-bundled wheel-check clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the package, all extras and the tools (quick when nothing changed)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --quiet "$$(grep -m1 '^torch==' constraints.txt)"
	$(PIP) --quiet -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: install ## three users, one question: engine, LangChain and LlamaIndex
	$(BIN)/persona-judge demo

test: install ## the whole suite, with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term -n 2 --dist worksteal $(ARGS)

mutants: install ## make each known mistake in a copy, and see a test fail
	ALL_MUTANTS=1 $(BIN)/python -m pytest tests/mutation -n 2 --dist worksteal $(ARGS)

test-fast: install ## the suite without its slow tests and without coverage
	$(BIN)/python -m pytest -m 'not slow' $(ARGS)

check: install ## format, lint, types, architecture, dead code, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .

format: install ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install ## measure speed and memory, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run $(ARGS)

eval: install ## compare the rules with other ways to follow two preferences, on the bundled model
	$(BIN)/python -m training.alignment $(ARGS)

eval-bundled: install ## measure the bundled model on held-out questions
	$(BIN)/python -m training.evaluate $(ARGS)

train-bundled: install ## train the bundled model again from scratch
	$(BIN)/python -m training.train $(ARGS)

wheel-check: install ## build the wheel, look into it, install and run it elsewhere
	$(BIN)/python .ci/check_wheel.py $(ARGS)

clean: ## remove .venv, build products and caches
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
