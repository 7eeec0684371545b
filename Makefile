# The commands that people and CI share. `make train` and `make test` each do all the set-up they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OTHERS := .venv-ecosystem

.PHONY: setup train test test-ecosystem check bench quality conformance lock stubs clean
.DEFAULT_GOAL := test

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

train: setup  ## train the main job: handwritten digits, AdamW
	$(BIN)/zerograd train digits

test: setup
	$(BIN)/python -m pytest -n 2

test-ecosystem: $(OTHERS)/.ready  ## with Lightning, Accelerate, Hugging Face's Trainer, Keras and optax themselves
	$(OTHERS)/bin/python -m pytest -n 2 tests_ecosystem

$(OTHERS)/.ready: requirements-ecosystem.lock pyproject.toml
	$(PYTHON) -m venv $(OTHERS)
	for attempt in 1 2 3; do \
		$(OTHERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-ecosystem.lock && exit 0; \
		sleep 10; \
	done; exit 1  # again if the network broke off; what came is in pip's cache
	$(OTHERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

check: setup  ## format, lint, types, stubs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/make_stubs.py --check
	$(BIN)/python -m pytest tests/structure

bench: setup  ## time the update half against torch.optim, into benchmarks/results; about ten minutes
	$(BIN)/python -m benchmarks

quality: setup  ## train with 8-bit states and with float32 ones, into benchmarks/quality/results; about twelve minutes
	$(BIN)/python -m benchmarks.quality

stubs: setup  ## write the committed .pyi files anew
	$(BIN)/python tools/make_stubs.py

conformance: setup  ## write docs/conformance.md anew: the differences from torch.optim, measured
	$(BIN)/python tools/make_conformance.py

lock:  ## resolve both lock files anew, each in a throw-away environment
	$(PYTHON) tools/make_lock.py

clean:
	rm -rf $(VENV) $(OTHERS) build dist .pytest_cache .mypy_cache .ruff_cache
