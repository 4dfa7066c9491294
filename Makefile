# One place for every command; `make` alone lists them.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# A process per core, each with one thread; a file's tests stay together, since they share what they made.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-browser check style lint ravdess_au benchmark clean

help: ## list the commands
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/tacfn: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

install: $(BIN)/tacfn ## make a virtual environment with everything, at the tested versions

demo: $(BIN)/tacfn ## the main job on the built-in corpus: make it, train, test on unseen speakers, predict, draw
	BIN=$(abspath $(BIN)) bash examples/first_run.sh

test: $(BIN)/tacfn ## the fast tests
	$(PYTEST)

test-all: $(BIN)/tacfn ## all tests but those that need a GPU or a browser
	$(PYTEST) -m "not gpu and not browser"

test-browser: $(BIN)/tacfn ## the page of the demo in a headless Chromium; skipped where there is none
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser --durations=3 tests/*_browser.py

check: $(BIN)/tacfn lint test ## what must pass before a commit

lint: $(BIN)/tacfn
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python .ci/lint_models.py

style: $(BIN)/tacfn ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ravdess_au: $(BIN)/tacfn ## the table of the README on real data; RAVDESS=folder with the sound files and the action units
	$(BIN)/tacfn compare --dataset ravdess_au --data_dir "$(RAVDESS)" --protocols plain speaker-normalised \
		--missing --adaptation --output_dir runs/ravdess_au

benchmark: $(BIN)/tacfn ## measure speed and say what got slower; ONLY="one_clip startup" for some
	$(BIN)/python benchmarks/run.py $(ONLY)

clean: ## remove the virtual environment and the runs
	rm -rf $(VENV) runs
