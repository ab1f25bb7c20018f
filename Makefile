# The two commands: `make demo` and `make test`. Both make .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?= demo

.PHONY: demo test check venv lock clean

demo: venv
	$(BIN)/verl-spo demo --dir $(DEMO_DIR) $(DEMO_ARGS)

test: venv
	$(BIN)/pytest $(TEST_ARGS)

# About a minute: what to run while working.
check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit -m "not slow" --timeout 120 $(TEST_ARGS)

venv: $(VENV)/installed

# --no-deps: the locked list is complete, and a resolver would add CUDA builds of torchvision and torchaudio, beside which
# transformers does not import.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Write requirements.lock anew from what is installed in .venv.
lock:
	$(BIN)/pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' | LC_ALL=C sort -f > requirements.lock

clean:
	rm -rf $(VENV) $(DEMO_DIR) build *.egg-info
