# SPDX-License-Identifier: Apache-2.0
# Two commands for a newcomer: `make demo` and `make test`, each on a fresh Debian 12, as root, and each sets up itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Debian's packages, installed only if missing. The demo: a C compiler, Python, reference plugins, ip and ping.
DEMO_PACKAGES := gcc libc6-dev python3-venv containernetworking-plugins iproute2 iputils-ping util-linux
# The tests besides: a node's real parts, what reads the kernel's rules, sanitizers and the fuzzer, keys.
TEST_PACKAGES := etcd-server containerd runc busybox-static nftables iptables clang libclang-rt-14-dev openssl procps

.PHONY: help
help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Debian packages, .venv from requirements.lock, the shim: what is there already is left alone
	@.ci/packages.sh $(DEMO_PACKAGES)
	@.ci/venv.sh

.PHONY: demo
demo: setup ## Two pods, six interfaces, traffic, and nothing left: the main job with no cluster (no Go needed)
	@.venv/bin/metacni demo

.PHONY: test
test: ## Everything: linters, units, real namespaces, a real node; needs root and Go; ends with the table of real parts
	@tests/testbed/build.sh --check-go
	@$(MAKE) setup
	@.ci/packages.sh $(TEST_PACKAGES)
	@tests/testbed/build.sh
	@.venv/bin/pytest --all-parts

.PHONY: unit
unit: setup ## The mirror of the sources: no root, seconds
	@.venv/bin/pytest tests/unit

.PHONY: lint
lint: setup ## ruff, mypy --strict and the floors, as the tests run them
	@.venv/bin/pytest tests/unit/test_house.py

.PHONY: lock
lock: ## Writes requirements.lock anew from pyproject.toml
	@.venv/bin/python -m pip --quiet --disable-pip-version-check install uv
	@.venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --group dev \
	  --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock

.PHONY: docs
docs: setup ## Writes the tables of docs/configuration.md anew from the schemas in crds/
	@.venv/bin/python docs/tables.py
