# Everything a developer or a newcomer runs. `make demo` and `make test` set up what they need on a fresh machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := protocol broker admin client benchmarks web tests

.PHONY: demo test check format coverage bench bench-quick bench-growth bench-admin bench-web bench-overload crash deep hostile hostile-defects sim sim-defects fuzz fuzz-defects clean

demo: $(VENV)/.ready-run
	$(BIN)/roost demo

test: check
	$(BIN)/pytest $(PYTEST_ARGS)

# The same with what is not covered; a third slower.
coverage: $(VENV)/.ready-dev
	$(BIN)/pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

check: $(VENV)/.ready-dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)

format: $(VENV)/.ready-dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# The property tests with many more examples; takes hours.
deep: $(VENV)/.ready-dev
	HYPOTHESIS_PROFILE=deep $(BIN)/pytest --timeout=0 tests/protocol tests/model tests/broker/store

# Power lost at any of 2,000 moments, kill -9 a thousand times, bits flipped in 6,000 stores; about an hour and a half.
crash: $(VENV)/.ready-dev
	CRASH_IMAGES=2000 CRASH_KILLS=1000 CRASH_FLIPS=2000 $(BIN)/pytest -q --timeout=0 tests/crash

# Crowds of 5,000 peers with bad intentions beside healthy clients; ends in one line with its figures.
hostile: $(VENV)/.ready-dev
	HOSTILE_PEERS=5000 $(BIN)/pytest -q --timeout=0 tests/hostile

# Which test fails when a protection is taken out of the broker: the table in docs/testing.md.
hostile-defects: $(VENV)/.ready-dev
	PYTHONPATH=tests $(BIN)/python -m hostile.find_defects

# A thousand seeds of the simulation; ends in one line with its figures. SEEDS=A..B for others.
SEEDS ?= 0..999
sim: $(VENV)/.ready-dev
	$(BIN)/roost sim --seeds $(SEEDS) --jobs 2

# How many seeds it takes to find each deliberate defect: the table in docs/testing.md.
sim-defects: $(VENV)/.ready-dev
	PYTHONPATH=tests $(BIN)/python -m client.simulation.find_defects

# Each target of the fuzzers in turn, a line of figures for each; FUZZ_SECONDS of search in all, and then some to make
# the corpus small again. TARGETS="codec_json …" for some of them.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.ready-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(FUZZ_SECONDS) $(TARGETS)

# What takes away a check of each target and finds that: the table in docs/testing.md.
fuzz-defects: $(VENV)/.ready-dev
	PYTHONPATH=tests $(BIN)/python -m fuzz.defects

# Every workload, for roost and its peers in turn; under 12 minutes. As root it installs the peers if they are missing.
bench: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.suite full $(BENCH_ARGS)

# roost alone, a look; under 90 s.
bench-quick: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.suite quick $(BENCH_ARGS)

# How cost grows: long curves.
bench-growth: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.suite growth $(BENCH_ARGS)

# W3 over TCP, over WebSocket, and over WebSocket in JSON.
bench-web: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.suite web $(BENCH_ARGS)

# Half to three times of what the broker can do is offered; ends in one line with its figures. A minute and a half.
bench-overload: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.overload $(BENCH_ARGS)

# What it costs to administer: read-only commands on a large site, and messages beside admins who look on.
bench-admin: $(VENV)/.ready-dev
	$(BIN)/python -m roost_benchmarks.suite admin $(BENCH_ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("roost needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "python3-venv is missing; installing it"; apt-get update -qq && apt-get install -qq -y python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-run: $(VENV)/bin/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
