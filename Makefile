# Millrace. `make run` starts a server to open in a browser; `make test` passes everything.
.PHONY: help run build release test unit interop fuzz check fix bench web setup setup-test
SHELL := /bin/bash
FUZZ_SECONDS ?= 60
ENV := . scripts/env;

help:                     ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 22

setup:                    ## Install what `make run` needs and is missing
	@scripts/setup run

setup-test:               ## Install what `make test` needs and is missing
	@scripts/setup test

web: setup                ## Build the web page that the binary embeds
	@scripts/web

run: web                  ## Build and start a server on this machine, for this machine
	cargo run --release -p millrace-server -- --dev $(ARGS)

build: web                ## The binary, unoptimised
	cargo build -p millrace-server

release: web              ## The binary as it is shipped: target/release/millrace
	cargo build --release -p millrace-server

# A look at every target; `make fuzz` takes a minute for each.
test: FUZZ_SECONDS = 10
test: setup-test check unit interop fuzz  ## Everything: what CI runs
	@echo "make test: everything passed"

unit: web                 ## Rust and TypeScript tests
	cargo test --workspace --quiet
	@$(ENV) cd web && npm test --silent

interop: build            ## Real clients against the real binary
	@$(ENV) interop/run

fuzz:                     ## Every fuzz target for FUZZ_SECONDS
	@scripts/fuzz $(FUZZ_SECONDS)

check: web                ## Formatting, lints and the rules of the house
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo run --quiet -p xtask -- check
	@$(ENV) cd web && npm run --silent check

fix:                      ## Mend what can be mended by tools
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged --quiet

bench: web                ## Side-by-side measurements, an hour of them (see benches/)
	@$(ENV) benches/run
