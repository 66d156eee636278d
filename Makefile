# Every target does all its set-up first; what is missing on the machine is said in one line.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# When make was called, in seconds since boot: the demo says how long the first page took from there, with what was installed.
BEGAN := $(shell cut -d" " -f1 /proc/uptime)

.PHONY: help install demo test test-kubernetes check format bench bench-kubernetes proofs proofs-full prove prove-night prove-mutants sweep clean lock faults test-forge

help:
	@echo "make demo     the main job, on the team's sample repositories (ARGS=--once ends by itself)"
	@echo "make test     all tests that run anywhere in a few minutes"
	@echo "make test-kubernetes   the tests on a real one-node cluster that is built, started and removed"
	@echo "make test-forge   pushes, webhooks, pull requests and statuses with a real Gitea, which it builds first (Go)"
	@echo "make check    format, lint, types, import rules, docs"
	@echo "make proofs   the proofs of what the README promises, in their short form"
	@echo "make proofs-full   the proofs in their long form: more than an hour"
	@echo "make faults   each fault 20 times, 1,400 kills, 50 upgrades of HAProxy: more than an hour"
	@echo "make prove    300,000 requests over 200 rollouts, bad commits and kills: 0 lost, in ten minutes"
	@echo "make prove-night   3,000,000 over 1,000, added to docs/reliability.md: an hour or two"
	@echo "make prove-mutants   each fault put into Noren on purpose must be found"
	@echo "make sweep    kills the daemon after every durable step, harms every file of its state: hours"
	@echo "make bench    speed and size, as tables"
	@echo "make bench-kubernetes   what an upgrade loses in a plain cluster, as a table"
	@echo "make install  everything into .venv, noren included"

install: $(BIN)/.installed

$(BIN)/.installed: requirements.lock pyproject.toml
	@command -v git >/dev/null || { echo "git is missing: install it with your package manager"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module is missing: install your distribution's python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/noren demo --since $(BEGAN) $(ARGS)

test: install
	@$(BIN)/pytest -m "not slow" --ignore=tests/proofs --ignore=tests/kubernetes --ignore=tests/mutants $(ARGS)

test-kubernetes: install
	@$(BIN)/python -m tests.kubernetes.cluster -- $(abspath $(BIN))/pytest -m "not slow" tests/kubernetes $(ARGS)

# Gitea is a module of Go like others: ten minutes the first time, seconds after that.
GITEA := $(CURDIR)/tests/forge/gitea/build/gitea
test-forge: install
	@if command -v go >/dev/null && command -v cc >/dev/null; then \
	  cd tests/forge/gitea && nice go build -tags 'sqlite sqlite_unlock_notify' -o $(GITEA) code.gitea.io/gitea && \
	  static=$$(go list -m -f '{{.Dir}}' code.gitea.io/gitea) && cd $(CURDIR) && \
	  GITEA=$(GITEA) GITEA_STATIC=$$static $(BIN)/pytest -s tests/forge/test_gitea.py $(ARGS); \
	else echo "skipped: the tests with a real forge build Gitea, and Go 1.26 or a C compiler is missing"; fi

check: install
	@$(BIN)/ruff format --check src tests bench examples
	@$(BIN)/ruff check src tests bench examples
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/mkdocs build --quiet --strict --site-dir .mkdocs

format: install
	@$(BIN)/ruff format src tests bench examples
	@$(BIN)/ruff check --fix src tests bench examples

bench: install
	@$(BIN)/python -m bench $(ARGS)

proofs: install
	@$(BIN)/pytest -m "not slow" tests/proofs tests/mutants $(ARGS)

proofs-full: install
	@$(BIN)/pytest -s -m slow --timeout=3600 tests/proofs $(ARGS)

faults: install
	@$(BIN)/pytest -s -m slow --timeout=3600 tests/proofs/test_faults.py tests/proofs/test_kills.py tests/proofs/test_proxy_upgrades.py $(ARGS)

bench-kubernetes: install
	@$(BIN)/python -m tests.kubernetes.cluster -- $(abspath $(BIN))/python -m tests.kubernetes.baseline $(ARGS)

prove: install
	@$(BIN)/python -m tests.campaign --requests 300000 --rollouts 200 $(ARGS)

prove-night: install
	@$(BIN)/python -m tests.campaign --requests 3000000 --rollouts 1000 --share 0.8 --record docs/reliability.md $(ARGS)

prove-mutants: install
	@$(BIN)/pytest -s --timeout=3600 tests/mutants $(ARGS)

sweep: install
	@$(BIN)/pytest -s -m slow --timeout=3600 tests/proofs/test_crash_sweep.py tests/proofs/test_harmed_state.py tests/recovery $(ARGS)

lock:
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --group pyproject.toml:dev --all-extras pyproject.toml -o requirements.lock --python-version 3.11

clean:
	rm -rf .venv .mkdocs .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
