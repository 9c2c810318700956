# Needs GNU make and Python >= 3.11; every goal makes its own .venv first.
# pip reads its index and mirrors from your environment or pip.conf, never from here.

PYTHON ?= python3

# What `make demo` runs. Override on the command line: make demo DEMO_VICTIM_EPOCHS=4
DEMO_OUT            ?= out/demo
DEMO_EPSILON        ?= 16/255
DEMO_VICTIMS        ?= resnet9,whitened-resnet9
DEMO_VICTIM_EPOCHS  ?= 12
DEMO_PROTECT_FLAGS  ?= --method gratings --cells 2
DEMO_EVALUATE_FLAGS ?= --augmentation crop

# They start the head of a cluster; beside the Rays of other tests its agent did not come up.
HEAD_TESTS := tests/distributed/test_jobs.py

# More flags for pytest: make test-fast PYTEST_FLAGS='-x -k budget'
PYTEST_FLAGS ?=

# Ray sends no usage statistics from here unless you ask for it.
export RAY_USAGE_STATS_ENABLED ?= 0

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-fast test-gpu lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with ue_ray, the demo's data and the tools (about 6 GB)

$(STAMP): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null \
		|| { echo "ue_ray: no '$(PYTHON)' here; name a Python >= 3.11: make PYTHON=python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ue_ray: '$(PYTHON)' is older than 3.11; name a newer one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "ue_ray: '$(PYTHON)' lacks venv; install it (on Debian and Ubuntu the package python3-venv)" >&2; exit 1; }
	test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --editable '.[demo,dev]'
	@$(BIN)/python -c 'import torchvision' \
		|| { echo "ue_ray: torch and torchvision in $(VENV) are of different builds; take both from one index" >&2; exit 1; }
	@touch $@

demo: install ## Protect 4,000 real digits and show what a victim learns from them
	rm -rf $(DEMO_OUT)
	$(BIN)/ue-ray protect --input mnist5k --output $(DEMO_OUT)/protected \
		--epsilon $(DEMO_EPSILON) $(DEMO_PROTECT_FLAGS)
	$(BIN)/ue-ray evaluate --clean mnist5k --protected $(DEMO_OUT)/protected --test mnist5k-test \
		--output $(DEMO_OUT)/report --victims $(DEMO_VICTIMS) --epochs $(DEMO_VICTIM_EPOCHS) $(DEMO_EVALUATE_FLAGS)

test: install ## Run all tests: those that start nothing, then an object store, then Ray
	$(BIN)/python -m pytest -m "not ray and not store" -n 2 --dist loadfile --durations=10 $(PYTEST_FLAGS)
	$(BIN)/python -m pytest -m "not ray and store" --durations=10 $(PYTEST_FLAGS)
	$(BIN)/python -m pytest -m ray -n 2 --dist loadfile --ignore $(HEAD_TESTS) --durations=10 $(PYTEST_FLAGS)
	$(BIN)/python -m pytest -m ray $(HEAD_TESTS) $(PYTEST_FLAGS)

test-fast: install ## Run the tests that start neither Ray nor an object store
	$(BIN)/python -m pytest -m "not ray and not store" -n 2 --dist loadfile --durations=10 $(PYTEST_FLAGS)

test-gpu: ## Run the contract tests on a GPU, with the Python that has torch (PYTHON=...); needs no Ray
	UE_RAY_TEST_DEVICE=cuda $(PYTHON) -m pytest tests/noise tests/learning/test_models.py tests/evaluation/test_training.py \
		tests/evaluation/countermeasures -m "not ray and not store" --durations=10 $(PYTEST_FLAGS)

lint: install ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Rewrite the files as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove caches, build products and the demo's output; keep .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache $(DEMO_OUT)
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
