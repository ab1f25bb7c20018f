# The two commands: `make demo` and `make test`. Both make an environment first.

# make test PYTHON=python3.12: with another Python, in an environment of its own.
PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN = $(VENV)/bin
DEMO_DIR ?= demo
# Address of a package index with CPU builds of torch, which are 3 GB smaller; by default pip's own.
TORCH_INDEX ?=
# Two workers need two cores and 12 GB: one has the end-to-end tests (tests/conftest.py).
IN_PARALLEL ?= -n 2 --no-loadscope-reorder

.PHONY: demo test test-bridge check docs reference venv lock clean

demo: venv
	@"$(BIN)/verl-spo" demo --dir "$(DEMO_DIR)" $(DEMO_ARGS)

test: venv
	"$(BIN)/pytest" $(IN_PARALLEL) $(TEST_ARGS)

# Megatron-Bridge, verl's own way to Megatron, which needs Python 3.12, in an environment of its own.
test-bridge: PYTHON = python3.12
test-bridge: VENV = .venv-bridge
test-bridge: OVER = requirements-bridge.lock
test-bridge: venv
	"$(BIN)/pytest" -m long tests/integration/training/test_megatron_bridge.py $(TEST_ARGS)

# What to run while working.
check: venv
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"
	"$(BIN)/pytest" -q $(IN_PARALLEL) tests/unit -m "not slow" --hypothesis-profile quick --timeout 120 $(TEST_ARGS)

# The site, in docs/_build/html; a warning is an error.
docs:
	"$(PYTHON)" -m venv .venv-docs
	.venv-docs/bin/pip install -q -r docs/requirements.lock .
	.venv-docs/bin/sphinx-build -q -E -W --keep-going docs docs/_build/html
	@echo "docs/_build/html/index.html"

# What the documentation has of the code: every command's help, every table, the figure of who imports whom.
reference: venv
	"$(BIN)/typer" verl_spo.cli.main utils docs --name verl-spo --title Commands --output docs/reference/commands.md
	"$(BIN)/python" docs/write_schema.py
	"$(BIN)/python" docs/draw_architecture.py

# The script is for Python 3.11 and later; an older one should not have to read it.
venv:
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make venv: Python 3.11 or 3.12 is needed, this is %d.%d: add PYTHON=python3.12 to the command" % sys.version_info[:2])'
	@"$(PYTHON)" make_venv.py "$(VENV)" $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)") $(if $(OVER),--over "$(OVER)")

# Write requirements.lock anew from what is installed. What only a CUDA build of torch needs is not part of it.
lock:
	"$(BIN)/pip" freeze --all --exclude-editable | grep -vE '^(nvidia|cuda)-' | sed 's/+cpu$$//' | LC_ALL=C sort -f > requirements.lock.new
	test -s requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf "$(VENV)" "$(DEMO_DIR)" build *.egg-info
