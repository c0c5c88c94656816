# The commands of this repository; `make help` lists them. CI runs the same targets (.ci/run).

PYTHON ?= python3
VENV := .venv
BENCH_VENV := target/bench-venv
FRAMEWORKS_VENV := .venv-frameworks
GENERATED := schema/protocol/src/generated
SOURCES := $(shell find Cargo.toml Cargo.lock pyproject.toml README.md bindings orchestrator schema pyworker \
	-type f -not -name '*.pyc' -not -name '*.so')

# pip and cargo share one folder, so that nothing is compiled twice.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# `python` and `trainwire` are this repository's own, here and in every command a recipe starts.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The extension takes Python's symbols from the interpreter that loads it; libpython need not be installed.
export PYO3_BUILD_EXTENSION_MODULE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/installed ## train a sweep of digit classifiers with two trainers
	trainwire run examples/digits.toml

.PHONY: examples
examples: $(VENV)/installed ## run every example but torch_loop.py and torchrun_ddp.py, which need torch
	trainwire run examples/digits.toml
	trainwire run examples/digits_crash.toml
	trainwire run --grid lr=0.1,0.01 -- python examples/plain_script.py
	python examples/submit.py
	trainwire run examples/attached.toml & job=$$!; \
	python examples/attached.py || { kill $$job; exit 1; }; wait $$job
	cargo run --quiet --locked -p trainwire --example embed
	cargo run --quiet --locked -p trainwire --example in_place

.PHONY: test
test: test-rust test-python lint-python ## run all tests, and the Python lints

.PHONY: test-rust
test-rust: $(VENV)/installed $(VENV)/dev
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --locked --workspace $(if $(CI),--profile ci); \
	else \
		cargo test --locked --workspace --lib --bins --tests; \
	fi
	cargo test --locked --workspace --doc

.PHONY: test-python
test-python: $(VENV)/installed $(VENV)/dev
	python -m pytest

.PHONY: test-pythons
test-pythons: $(VENV)/installed ## test the wheel on the other Pythons found here; PYTHONS="3.12 3.14t" for these alone
	python tests/pythons.py $(PYTHONS)

.PHONY: test-frameworks
test-frameworks: $(FRAMEWORKS_VENV)/installed ## test with torch, Hugging Face, Lightning and Keras, in an environment of their own
	PATH=$(CURDIR)/$(FRAMEWORKS_VENV)/bin:$$PATH KERAS_BACKEND=torch OMP_NUM_THREADS=1 \
		python -m pytest --timeout 600 tests/frameworks tests/python/test_adapter_link.py tests/python/test_adapters.py tests/python/test_tee.py \
		tests/python/test_pages.py

$(FRAMEWORKS_VENV)/installed: $(SOURCES) tests/frameworks/requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(FRAMEWORKS_VENV)
	$(FRAMEWORKS_VENV)/bin/python -m pip install --quiet -r tests/frameworks/requirements.txt .
	@touch $@

.PHONY: faults
faults: $(VENV)/installed ## what goes wrong: 10,000 simulated seeds, 2,000 kills, power cuts, failing disks, lost messages
	TRAINWIRE_SEEDS=$${TRAINWIRE_SEEDS:-10000} TRAINWIRE_FAULTS=$${TRAINWIRE_FAULTS:-full} \
		cargo test --locked --profile faults -p trainwire-tests --test simulation --test faults -- --nocapture --test-threads=2

.PHONY: planted
planted: $(VENV)/installed ## plant the faults of docs/faults.md one by one: the tests must catch each
	tests/faults/planted.sh

.PHONY: soak
soak: $(VENV)/installed ## the same for hours, with other seeds each time, until something fails
	for round in $$(seq 1 100000); do \
		TRAINWIRE_FIRST_SEED=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' ') TRAINWIRE_SEEDS=100000 TRAINWIRE_CUTS=500 \
			$(MAKE) faults || exit 1; \
	done

.PHONY: lint
lint: lint-rust lint-python ## check formats, types and lints

.PHONY: lint-rust
lint-rust:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; fi

.PHONY: lint-python
lint-python: $(VENV)/installed $(VENV)/dev
	ruff check
	ruff format --check
	mypy
	python -m mypy.stubtest trainwire._core

.PHONY: bench
bench: $(VENV)/installed $(VENV)/dev $(BENCH_VENV)/installed ## measure beside floors and other ways; SECTION=sizes for one section
	cargo run --locked --release -p trainwire-bench -- --others-python $(BENCH_VENV)/bin/python $(SECTION)

.PHONY: bench-docs
bench-docs: ## put the figures and pictures of the last full `make bench` into README.md and docs
	cargo run --locked --release --quiet -p trainwire-bench -- docs

.PHONY: micro
micro: ## time single operations of codec, verifier, Sessions, Scheduler
	cargo bench --locked -p trainwire-micro

.PHONY: instructions
instructions: ## count their instructions under valgrind: fails where they have grown
	cargo run --locked --release --quiet -p trainwire-micro --bin instructions -- compare

.PHONY: instructions-accept
instructions-accept: ## write down the counts of this compiler as those to compare with
	cargo run --locked --release --quiet -p trainwire-micro --bin instructions -- accept

# What the other contestants import; one that cannot be installed is skipped by the benchmark.
$(BENCH_VENV)/installed: tests/benches/contestants/requirements.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	grep -v '^#' $< | while read -r package; do \
		$(BENCH_VENV)/bin/python -m pip install --quiet "$$package" || echo "not installed: $$package"; \
	done
	@touch $@

.PHONY: docs
docs: $(VENV)/dev ## build the documentation site and the library's own into target/site
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	cargo doc --locked --quiet --no-deps -p trainwire -p trainwire-protocol
	rm -rf target/site/rust && cp -r $(CARGO_TARGET_DIR)/doc target/site/rust

.PHONY: gen
gen: $(VENV)/dev ## regenerate the Rust code of schema/*.fbs
	flatc --rust -o $(GENERATED) schema/*.fbs

.PHONY: gen-check
gen-check: $(VENV)/dev ## fail if the checked-in code is not what `make gen` writes
	rm -rf $(VENV)/generated
	flatc --rust -o $(VENV)/generated schema/*.fbs
	diff -r -x mod.rs $(VENV)/generated $(GENERATED)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"trainwire needs Python 3.11 or later: make PYTHON=python3.13 ...")'
	@command -v cargo >/dev/null || { echo "trainwire needs Rust 1.89 or later: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/examples: examples/requirements.txt | $(VENV)/bin/python
	python -m pip install --quiet -r $<
	@touch $@

$(VENV)/dev: requirements-dev.txt requirements-docs.txt tests/python/requirements.txt | $(VENV)/examples
	python -m pip install --quiet -r $<
	@touch $@

$(VENV)/installed: $(SOURCES) $(VENV)/examples
	@echo "building the extension and the program: a minute or two at first, seconds later"
	python -m pip install --quiet .
	@touch $@
