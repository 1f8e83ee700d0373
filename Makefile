# make run   set up what is missing, then hold a spoken conversation with the simulated robot
# make test  set up what is missing, then run every test and the linter
# make help  the rest
#
# All set-up goes into .venv; a second run finds it done and starts at once. On a sourced ROS 2 use
# colcon instead (docs/install.md).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := $(CURDIR)/.venv
DONE := .venv/.done
RUN_ARGS ?=
PYTEST_ARGS ?=
# Models of the conversation, and of the tests besides.
RUN_MODELS ?= demo
TEST_MODELS ?= all
# An extra package index with the CPU builds of torch: the usual build brings gigabytes of CUDA.
TORCH_INDEX ?=

export PATH := $(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(VENV)
export RMW_IMPLEMENTATION := rmw_fastrtps_cpp
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# ROS 2 comes from pip here. A sourced ROS, or the environment of another one, must not mix with it.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
endif

INSTALL := requirements/install.sh
INTERFACES := $(wildcard msg/*.msg srv/*.srv action/*.action)
INSTALLED := $(wildcard scripts/* launch/* config/*)
PINS := requirements/constraints.txt

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 16

.PHONY: run
run: setup models ## hold a spoken conversation with the simulated robot
	@$(VENV)/bin/async-agent run $(RUN_ARGS)

.PHONY: test
test: setup-test models-test ## run every test and the linter (PYTEST_ARGS=... for pytest)
	@echo '==> tests and flake8'
	@failed=0; \
	HF_HUB_OFFLINE=1 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
	  $(VENV)/bin/pytest $(PYTEST_ARGS) || failed=1; \
	$(VENV)/bin/flake8 || failed=1; \
	exit $$failed

.PHONY: lint
lint: setup-test ## run flake8
	@echo '==> flake8'
	@$(VENV)/bin/flake8

.PHONY: doctor
doctor: setup ## say what is here and what is missing
	@$(VENV)/bin/async-agent doctor

.PHONY: setup
setup: $(DONE)/package ## environment, dependencies and type support, no models

.PHONY: setup-test
setup-test: setup $(DONE)/test

.PHONY: models
models: setup ## download the models of the conversation
	@$(VENV)/bin/async-agent models get $(RUN_MODELS)

.PHONY: models-test
models-test: setup ## download every model that a test uses
	@$(VENV)/bin/async-agent models get $(TEST_MODELS)

.PHONY: clean
clean: ## remove environment and builds (models stay)
	rm -rf .venv build install log async_agent_ros/msg async_agent_ros/srv async_agent_ros/action \
	  async_agent_ros/*.so ./*.egg-info

$(DONE)/venv: requirements/system.sh
	@requirements/system.sh '$(PYTHON)'
	@echo "==> virtual environment .venv ($$('$(PYTHON)' --version))"
	@'$(PYTHON)' -m venv .venv
	@$(INSTALL) 'pip' pip==26.3
	@mkdir -p $(DONE) && touch $@

$(DONE)/run: requirements/build.txt requirements/run.txt $(PINS) $(DONE)/venv
	@$(INSTALL) 'ROS 2, build tools, speech, language model (about 300 MB of packages)' \
	  -r requirements/build.txt -r requirements/run.txt
	@touch $@

$(DONE)/package: $(INTERFACES) $(INSTALLED) CMakeLists.txt setup.py pyproject.toml package.xml $(DONE)/run
	@$(INSTALL) 'this package: generating and compiling the type support (a minute the first time)' \
	  -q --no-build-isolation --no-deps -e .
	@touch $@

# torch first and by itself, so that its size is announced.
$(DONE)/test: requirements/test.txt requirements/system.sh $(PINS) $(DONE)/run
	@requirements/system.sh '$(PYTHON)' tests
	@$(INSTALL) 'torch, for the tests of the engine transformers (200 MB, or GBs with CUDA)' \
	  $(if $(TORCH_INDEX),--extra-index-url '$(TORCH_INDEX)') \
	  "$$(grep '^torch==' requirements/test.txt)"
	@$(INSTALL) 'test tools' -r requirements/test.txt
	@touch $@
