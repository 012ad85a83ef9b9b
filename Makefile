# Every target makes its own environment in .venv; nothing has to be set up first.
# Kept to what GNU make 3.81 (macOS) understands.

# The first of these that runs, is of a supported version and can make environments. A name on the
# PATH is not enough: pyenv leaves commands there that only say "command not found".
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	if $$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		>/dev/null 2>&1; then command -v $$p; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One thread a worker (tests/conftest.py); more than eight workers only cost memory. Each worker gets
# whole files, which share fixtures, until it steals. The number that follows is the seconds one test
# may take. Bytecode is written whatever the environment says: each command that a test starts would
# compile the suite anew.
TEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal --timeout

# Two ways in which another processor rounds. Variables that a build of torch does not know do nothing.
OLD_KERNELS := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41
OTHER_KERNELS := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=COMPATIBLE
NUMERIC := tests/methods -m "numeric and not slow"

.PHONY: demo test test-slow portability lint format docs weights clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(BIN)/python run_benchmarks.py

test: $(READY)
	@$(TEST) 120 -m "not slow"

test-slow: $(READY)
	@$(TEST) 3600 -m slow

portability: $(READY)
	@$(OLD_KERNELS) $(TEST) 120 -p tests.perturbation $(NUMERIC)
	@$(OTHER_KERNELS) $(TEST) 120 $(NUMERIC)

lint: $(READY)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python -m benchmarks.tools.prose

format: $(READY)
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet && echo "build/site/index.html"

weights: $(READY)
	@$(BIN)/python -m benchmarks.tools.pretrain_glyph

clean:
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 that runs was found (with the modules venv and ensurepip)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; \
	fi; \
	echo "Installing into $(VENV) with $$python: 2 to 6 GB, once; minutes to a quarter of an hour ..."; \
	"$$python" -m venv --clear $(VENV) && \
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]' && \
	touch $@ && echo "Installed."
