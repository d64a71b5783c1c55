# Sets up, builds, shows and tests everything. Needs make and rustup's Rust; the rest it installs, or says
# how to.

# One target directory, outside of the checkout, so that a fresh checkout does not build everything again.
ifeq ($(strip $(CARGO_TARGET_DIR)),)
CARGO_TARGET_DIR := $(if $(strip $(XDG_CACHE_HOME)),$(XDG_CACHE_HOME),$(HOME)/.cache)/hstore-target
endif
export CARGO_TARGET_DIR

# Where rustup puts cargo, for shells that have not been told yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Flags of the environment would replace those of .cargo/config.toml, without which nothing is simulated.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

CARGO_FLAGS := --release --locked
# The server is built by itself: what the simulator asks for, planted bugs among it, cargo would give to
# every crate of the same build.
SIMULATOR := --workspace --exclude hstore-server
SERVER := --package hstore-server
HSTORE_SIM := $(CARGO_TARGET_DIR)/release/hstore-sim

.PHONY: help demo test test-slurm setup build

help:
	@echo 'make demo   set up, build, run a seed and a short campaign'
	@echo 'make test   set up, check formatting and lints, run every test, and judge 200 seeds'
	@echo 'make test-slurm   run a campaign as an array of Slurm jobs on this machine; needs root and Slurm'

demo: build
	$(HSTORE_SIM) run --seed 1
	$(HSTORE_SIM) campaign --seeds 1..50
	$(HSTORE_SIM) campaign --seeds 1..50 --engine model
	@echo
	@echo 'The simulator is $(HSTORE_SIM)'

test: setup
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) $(SIMULATOR) --all-targets -- -D warnings
	cargo clippy $(CARGO_FLAGS) $(SERVER) --all-targets -- -D warnings
	cargo test $(CARGO_FLAGS) $(SIMULATOR)
	cargo test $(CARGO_FLAGS) $(SERVER)
	scripts/no-planted-bugs.sh
	scripts/sanitize.sh
	scripts/rocksdb-once.sh
	$(HSTORE_SIM) determinism --seeds 1..10
	$(HSTORE_SIM) campaign --seeds 1..200
	$(HSTORE_SIM) campaign --seeds 1..200 --engine model
	@echo
	@echo 'All is well: formatting, lints, tests, sanitizers, no planted bug in production, 400 runs passed.'

# Not a part of the tests: it needs root, and packages that nothing else does.
test-slurm: build
	scripts/try-slurm.sh

build: setup
	cargo build $(CARGO_FLAGS) --package hstore-sim --package hstore-reports --package jepsen-lite
	cargo build $(CARGO_FLAGS) $(SERVER)

setup:
	@scripts/setup.sh
