# make chat          the bot in this terminal
# make test          installs what the tests need and runs everything, WORKERS processes at a time (2)
# make test-oldest   the same on the lowest versions that pyproject.toml allows
# make test-wheel    builds sdist and wheel into dist/, and tries the wheel on each Python from 3.11 to 3.14 that is here
# make test-cluster  the generator pool on a Ray cluster on this machine (350 MB more to install, six minutes)
# make test-systemd  boots a systemd in namespaces, installs the service there and uses it (as root)
# make small         what one core and 512 MB carry (as root); the load runs on the other cores
# make faults        kills the service KILLS times while people use it
# make soak          HOURS of people on both platforms while weights, processes, platforms and the disk fail (as root)
# make fuzz          strangers at the bot for MINUTES of the processor's time
# make fuzz-guided   bytes that reach ever new lines of what reads their words and files, for MINUTES
# make train         trains the default recipe on nietzsche.txt (an hour on two cores)

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

OLDEST := .venv-oldest
WORKERS ?= 2
PYTEST := python -m pytest --numprocesses $(WORKERS) --dist worksteal
KILLS ?= 200
MINUTES ?= 30
HOURS ?= 2

.PHONY: chat run test test-oldest test-wheel test-systemd test-cluster small faults soak fuzz fuzz-guided check format train clean

chat: .venv/.bot
	@$(BIN)/python -m bot chat

run: .venv/.bot
	@$(BIN)/python -m bot run

test: .venv/.dev
	$(BIN)/$(PYTEST) $(TESTS)

test-oldest: $(OLDEST)/.dev
	$(OLDEST)/bin/$(PYTEST) $(TESTS)

test-wheel: .venv/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/wheel.py dist/*.whl

test-cluster: .venv/.cluster
	$(BIN)/python -m pytest tests/generator/cluster/test_pool.py

test-systemd: .venv/.dev
	tests/systemd

small: .venv/.dev
	taskset --cpu-list 1-$$(($$(nproc) - 1)) $(BIN)/python -m benchmarks.service --under $(CURDIR)/benchmarks/small \
		--only alone,load,memory,idle --seconds 20 --texts 1000

faults: .venv/.dev
	LSTMEGA_KILLS=$(KILLS) $(BIN)/python -m pytest -s tests/service/test_kill.py

soak: .venv/.dev
	PYTHONPATH=. $(BIN)/python tests/soak.py --hours $(HOURS)

fuzz: .venv/.dev
	$(BIN)/python tests/fuzz.py --minutes $(MINUTES)

fuzz-guided: .venv/.dev
	@$(BIN)/python -m pip install --quiet --editable '.[train,dev,fuzz]'
	$(BIN)/python tests/guided.py --minutes $(MINUTES)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

train: .venv/.dev
	$(BIN)/python train.py

clean:
	rm -rf .venv $(OLDEST) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.bot: pyproject.toml | .venv/bin/python
	@echo "Installing the bot into .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Installing the bot, its tests and TensorFlow into .venv (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[train,dev]'
	@touch .venv/.bot $@

.venv/.cluster: pyproject.toml .venv/.dev
	@echo "Installing Ray Serve into .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[train,dev,cluster]'
	@touch $@

$(OLDEST)/.dev: pyproject.toml tests/oldest.py | .venv/bin/python
	@echo "Installing the lowest versions that are allowed into $(OLDEST) ..."
	@.venv/bin/python -m venv --clear $(OLDEST)
	@$(BIN)/python tests/oldest.py > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt --editable '.[train,dev]'
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) could not make a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }
