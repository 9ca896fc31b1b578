# SPDX-License-Identifier: Apache-2.0
# Two commands for a newcomer: `make demo` and `make test`, each on a fresh Debian 12, as root, and each sets up itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Debian's packages, installed only if missing. The demo: a C compiler, Python, reference plugins, ip and ping.
DEMO_PACKAGES := gcc libc6-dev python3-venv containernetworking-plugins iproute2 iputils-ping util-linux
# The tests besides: a node's real parts, what reads the kernel's rules, sanitizers and the fuzzer, keys.
TEST_PACKAGES := etcd-server containerd runc busybox-static nftables iptables clang libclang-rt-14-dev openssl procps user-mode-linux kmod \
  buildah mmdebstrap

.PHONY: help
help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Debian packages, .venv and the shim, as far as they are missing
	@.ci/packages.sh $(DEMO_PACKAGES)
	@.ci/venv.sh

.PHONY: demo
demo: setup ## The main job with no cluster: two pods on three networks
	@.venv/bin/metacni demo

.PHONY: test
test: ## Everything, up to a real node; needs root and Go
	@tests/testbed/build.sh --check-go
	@$(MAKE) setup
	@.ci/packages.sh $(TEST_PACKAGES)
	@tests/testbed/build.sh
	@.venv/bin/pytest --all-parts

.PHONY: unit
unit: setup ## The tests beside each source: no root, seconds
	@.venv/bin/pytest tests/unit

.PHONY: lint
lint: setup ## ruff, mypy --strict, import-linter and the house's rules
	@.venv/bin/pytest tests/unit/test_house.py

.PHONY: image
image: setup ## The agent's image, localhost/metacni:VERSION; BASE=… for another Debian
	@.ci/packages.sh buildah
	@rm -rf build/image
	@.venv/bin/python -m pip --quiet wheel --no-deps --no-build-isolation --wheel-dir build/image .
	@buildah bud --layers $(if $(BASE),--build-arg BASE=$(BASE)) \
	  --tag localhost/metacni:$$(.venv/bin/python -c 'import metacni; print(metacni.__version__)') \
	  --file examples/agent-pod/Containerfile .

.PHONY: lock
lock: ## Writes requirements.lock anew from pyproject.toml
	@.venv/bin/python -m pip --quiet --disable-pip-version-check install uv
	@.venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes --group dev \
	  --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links -c requirements.lock pyproject.toml \
	  -o examples/agent-pod/requirements.lock

.PHONY: docs
docs: setup ## Writes the tables of docs/*.md anew
	@.venv/bin/python docs/tables.py
