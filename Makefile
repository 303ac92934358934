# Everything runs in a virtual environment of its own; PYTHON picks another interpreter (>= 3.11).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# One more than there are cores: a tenth to a half of what a test takes is waiting for a process of its own.
TESTERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

.PHONY: campaign campaign-tenth demo docs test test-frameworks lint types wheel bench collector jaeger clean

demo: $(VENV)/.installed          ## set up and record, store and show sample episodes
	@$(BIN)/otel-episodes demo

test: $(VENV)/.installed-dev      ## set up and run the tests, a file to a process
	@$(BIN)/python -m pytest -m "not campaign" -n $(TESTERS) --dist loadfile

test-frameworks: $(VENV)/.installed-dev ## run agents of other frameworks, installed on the way (several hundred MB, once)
	@OTEL_EPISODES_TEST_FRAMEWORKS=1 $(BIN)/python -m pytest tests/foreign/test_frameworks.py tests/foreign/test_beside.py tests/importers/test_coding_agents.py

campaign-tenth: $(VENV)/.installed-dev ## what `make test` leaves out: a tenth of the campaigns, and the sessions of the docs
	@$(BIN)/python -m pytest -m campaign -n $(TESTERS) --dist loadfile

campaign: $(VENV)/.installed-dev  ## the fault and SQL campaigns whole (an hour; as root, with strace)
	OTEL_EPISODES_CAMPAIGN=1 $(BIN)/python -m pytest -m campaign
	$(BIN)/python benchmarks/faults.py

lint: $(VENV)/.installed-dev      ## style, spelling and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev      ## build the documentation into build/docs, links checked; nothing is fetched
	$(BIN)/mkdocs build --strict --quiet

types: $(VENV)/.installed-dev     ## mypy over the code, pyright over the public API
	$(BIN)/mypy
	$(BIN)/pyright

wheel: $(VENV)/.installed-dev     ## build the wheel and test it in a fresh environment
	$(BIN)/python tests/support/check_wheel.py

collector: $(VENV)/.installed-dev ## build the collector of collector-config/ with Go, for the tests that need it (minutes, once)
	@$(BIN)/python tests/support/go_tools.py collector

bench: $(VENV)/.installed-dev     ## what a step costs, beside a hand-written span
	$(BIN)/python benchmarks/step_cost.py

jaeger: $(VENV)/.installed-dev    ## build the Jaeger that tests/look/test_jaeger.py runs, once (needs Go, 15 minutes)
	@$(BIN)/python tests/support/go_tools.py jaeger

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No venv module here: apt-get install python3-venv (Debian), then try again"; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing otel-episodes with the embedded engine into $(VENV) (about 500 MB, once) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[embedded,otlp,prices,serve,mcp]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed constraints.txt
	@echo "Installing the test tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
