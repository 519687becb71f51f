# The only entry point: people and CI call these targets and nothing else.

CARGO ?= cargo
# Where `make benchmark` leaves its artifacts; a new kvns-bench-* folder in the temp directory when empty.
BENCH_DIR ?=
# A binary built from the commit before, for `make instructions`.
BEFORE ?=
# Seconds that `make fuzz` spends on each target.
FUZZ_SECONDS ?= 60

# Minutes that `make asan` loads the server.
ASAN_MINUTES ?= 10

# The container engine, what composes with it, the image that it builds and runs, and where the image is pushed.
PODMAN ?= podman
COMPOSE ?= $(PODMAN) compose
IMAGE ?= kvns
TAG ?= latest
GHCR_IMAGE ?= ghcr.io/$(GHCR_USER)/kvns
GHCR_USER ?=
GHCR_TOKEN ?=
# What the pushed image is built for; building for another machine than this one needs qemu's binfmt handlers.
PLATFORMS ?= linux/amd64,linux/arm64
# true pushes the image as :latest too.
PUSH_LATEST ?= false

export ASAN_MINUTES BENCH_DIR FUZZ_SECONDS IMAGE TAG GHCR_TOKEN

.DEFAULT_GOAL := help
.PHONY: help run build release test lint fmt fmt-check loom bench benchmark benchmark-sharded benchmark-compare measure instructions \
	clients hostile memcheck asan deny fuzz mutants mutants-check stress night podman-build podman-run podman-compose-up podman-compose-logs podman-compose-down \
	podman-login-ghcr podman-push-ghcr

help: ## Prints this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	@$(MAKE) --no-print-directory mutants-check
	$(CARGO) test --workspace --locked
	python3 scripts/hostile.py --check --quick $${CARGO_TARGET_DIR:-target}/debug/kvns
	@$(MAKE) --no-print-directory loom
	@echo "make test: ok. Format, lints, tests, comparison with redis-server, hostile clients and loom models passed."

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

benchmark: release ## Measures kvns, its lock-sharded baseline and redis-server side by side
	scripts/benchmark_kvns.sh

benchmark-sharded: release ## Measures the lock-sharded baseline alone
	scripts/benchmark_kvns.sh sharded

benchmark-compare: release ## Measures kvns against its lock-sharded baseline and prints the ratios
	BENCH_REPS=$${BENCH_REPS:-5} BENCH_STALL=$${BENCH_STALL:-0} scripts/benchmark_kvns.sh kvns sharded

measure: release ## Measures memory per key, MSET, hot keys, SCAN, KEYS and expiry storms
	scripts/measure.py target/release/kvns $(shell command -v redis-server)

instructions: ## Counts instructions by command with callgrind, against the binary BEFORE if it is given
	$(CARGO) build --profile dev-opt --locked
	python3 scripts/instructions.py target/dev-opt/kvns $(BEFORE)

clients: release ## Runs redis-py, ioredis and the Redis tools against the server
	scripts/clients.sh

hostile: release ## Lets hostile, slow and greedy clients loose on the server; under five minutes
	python3 scripts/hostile.py --check target/release/kvns

memcheck: ## Runs the tests of the lock-free parts under valgrind
	scripts/memcheck.sh

deny: ## Checks licences and advisories of the crates, and the minimum Rust version, where the tools are installed
	scripts/deny.sh

asan: ## Loads a server built with AddressSanitizer for ASAN_MINUTES (default 10)
	scripts/asan.sh

fuzz: ## Feeds the fuzz targets for FUZZ_SECONDS each (default 60)
	scripts/fuzz.sh

mutants: ## Seeds mistakes one at a time and sees that a test finds each of them; up to an hour
	scripts/mutants.sh

mutants-check: ## Sees whether every one of those mistakes still applies
	scripts/mutants.sh --check

stress: ## Runs the soak test for KVNS_STRESS_SECONDS (default 600)
	KVNS_STRESS_SECONDS=$${KVNS_STRESS_SECONDS:-600} $(CARGO) test --locked --profile dev-opt --test stress -- --ignored --nocapture

night: ## Runs what takes long: mutants, valgrind, sanitizer, clients, fuzzing, soak test; says at the end what failed
	scripts/night.sh

podman-build: ## Builds the image IMAGE:TAG
	$(PODMAN) build --format docker --tag $(IMAGE):$(TAG) .

podman-run: ## Runs the image with a volume for its data, clients at 6480 and metrics at 9090
	$(PODMAN) run --rm --name kvns --read-only --cap-drop all --security-opt no-new-privileges --stop-timeout 60 \
		--publish 6480:6480 --publish 9090:9090 --volume kvns-data:/data $(IMAGE):$(TAG)

podman-compose-up: ## Starts kvns with Prometheus (9091) and Grafana (3000)
	$(COMPOSE) up --build --detach

podman-compose-logs: ## Follows their logs
	$(COMPOSE) logs --follow

podman-compose-down: ## Stops them; the volumes stay
	$(COMPOSE) down

podman-login-ghcr: ## Logs in to push, with GHCR_USER and GHCR_TOKEN
	@test -n "$(GHCR_USER)" && test -n "$$GHCR_TOKEN" || { echo "podman-login-ghcr: GHCR_USER or GHCR_TOKEN is missing" >&2; exit 1; }
	@printf '%s' "$$GHCR_TOKEN" | $(PODMAN) login --username "$(GHCR_USER)" --password-stdin $(firstword $(subst /, ,$(GHCR_IMAGE)))

podman-push-ghcr: ## Builds for all PLATFORMS and pushes one manifest as GHCR_IMAGE:TAG, with PUSH_LATEST=true as :latest too
	@case "$(GHCR_IMAGE)" in *//*) echo "podman-push-ghcr: GHCR_USER or GHCR_IMAGE is missing" >&2; exit 1;; esac
	-$(PODMAN) manifest rm $(GHCR_IMAGE):$(TAG) 2>/dev/null
	$(PODMAN) build --format docker --platform $(PLATFORMS) --manifest $(GHCR_IMAGE):$(TAG) .
	$(PODMAN) manifest push --all $(GHCR_IMAGE):$(TAG) docker://$(GHCR_IMAGE):$(TAG)
	if [ "$(PUSH_LATEST)" = true ]; then $(PODMAN) manifest push --all $(GHCR_IMAGE):$(TAG) docker://$(GHCR_IMAGE):latest; fi
