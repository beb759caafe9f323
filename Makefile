# make demo           words -> trained net -> int8 -> C -> emulated microcontroller, in a virtual environment of its own
# make demo-denoise   the same for a speech denoiser
# make demo-vad       the same for a voice activity detector
# make test           everything the tests need, then the tests
PYTHON ?= python3
VENV ?= .venv
# PyTorch's CPU builds: without them pip takes several GB of CUDA packages on Linux. Set TORCH_INDEX= to use pip's default.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTEST_ARGS ?= -n 2
BIN := $(VENV)/bin

.PHONY: demo demo-denoise demo-vad test lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/edgernn kws --recipe demo --out run/demo

demo-denoise: $(VENV)/.demo-denoise
	$(BIN)/edgernn denoise-train --out run/demo-denoise

demo-vad: $(VENV)/.demo
	$(BIN)/edgernn vad-train --out run/demo-vad

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --retries 1 --timeout 20 --index-url $(TORCH_INDEX) torch==2.13.0 ||) \
	$(BIN)/pip install --quiet torch==2.13.0
	touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet -e '.[demo]'
	touch $@

$(VENV)/.demo-denoise: pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet -e '.[demo,judge,report]'
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) run build *.egg-info
