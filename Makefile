# On a fresh machine: `make demo`, `make check` (the fast checks) and `make test` (all of them). Each
# makes the environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo check test bench site clean

demo: $(VENV)/.installed
	$(BIN)/fuse demo --overwrite

check: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" scripts/check --fast

test: $(VENV)/.installed-test
	PATH="$(abspath $(BIN)):$$PATH" scripts/check

bench: $(VENV)/.installed-test
	$(BIN)/python scripts/bench.py

site: $(VENV)/.installed-test
	$(BIN)/python scripts/build_site.py

clean:
	rm -rf $(VENV) fuse-demo build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --editable '.[test]'
	touch $(VENV)/.installed $@
