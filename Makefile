# The only entry point: people and CI call these targets and nothing else.

CARGO ?= cargo
# Where `make benchmark` leaves its artifacts; a new kvns-bench-* folder in the temp directory when empty.
BENCH_DIR ?=
# Seconds that `make fuzz` spends on each target.
FUZZ_SECONDS ?= 60

export BENCH_DIR FUZZ_SECONDS

.DEFAULT_GOAL := help
.PHONY: help run build release test lint fmt fmt-check loom bench benchmark measure clients memcheck fuzz

help: ## Prints this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Runs the server, optimized, on port 6480; settings are KVNS_* variables
	$(CARGO) run --release --locked

build: ## Builds everything quickly, with debug assertions
	$(CARGO) build --workspace --all-targets --locked

release: ## Builds target/release/kvns
	$(CARGO) build --release --locked

test: ## Runs every check: format, lints, tests, comparison with redis-server, loom models
	scripts/setup.sh
	@$(MAKE) --no-print-directory fmt-check
	@$(MAKE) --no-print-directory lint
	$(CARGO) test --workspace --locked
	@$(MAKE) --no-print-directory loom
	@echo "make test: ok. Format, lints, tests, comparison with redis-server and loom models passed."

lint: ## Runs clippy on all targets; warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt: ## Formats the code
	$(CARGO) fmt --all

fmt-check: ## Checks the format of the code
	$(CARGO) fmt --all -- --check

loom: ## Explores the interleavings of the concurrency models
	scripts/loom.sh

bench: ## Measures each layer by itself with criterion
	$(CARGO) bench --locked

benchmark: release ## Measures kvns and redis-server side by side
	scripts/benchmark_kvns.sh

measure: release ## Measures memory per key, MSET, hot keys, SCAN, KEYS and expiry storms
	scripts/measure.py target/release/kvns $(shell command -v redis-server)

clients: release ## Runs redis-py, ioredis and the Redis tools against the server
	scripts/clients.sh

memcheck: ## Runs the tests of the lock-free parts under valgrind
	scripts/memcheck.sh

fuzz: ## Feeds the fuzz targets for FUZZ_SECONDS each (default 60)
	scripts/fuzz.sh
