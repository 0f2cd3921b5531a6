# make demo    draw flowers, bake them for other programs, then train and draw with a small model
# make check   lint, types, and the tests that start no process and train nothing: for every save
# make test    lint, types and all tests
# make hosts   the runtime with the other builds of onnxruntime, files in the oldest onnxruntime and
#              LiteRT, and the example for Apache Beam, in environments of their own
#
# Each makes a virtual environment first; PYTHON names the interpreter, 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
# The other builds of onnxruntime, of which an environment can have one.
BUILDS := gpu openvino
# What each of them is tested with: where it computes differently, and how it is chosen.
GPU_TESTS := device/test_device.py device/test_providers.py engine/test_session.py \
  engine/test_binding.py
OPENVINO_TESTS := device/test_openvino.py device/test_providers.py test_sampler.py
# The oldest onnxruntime that a graph is tested with by itself, and the NumPy that it was built for.
OLDEST := onnxruntime==1.15.0 numpy<2
SOURCES := $(sort $(shell find trainer export runtime -name '*.py'))

.PHONY: demo check test hosts lint environment clean

demo: environment
	rm -rf $(DEMO)
	mkdir $(DEMO)
	$(BIN)/diffkiln-sample --count=36 --device=cpu --scale=2 --out=$(DEMO)/flowers.png
	$(BIN)/diffkiln-export --run_dir=models/flowers64-student --bundle=$(DEMO)/flowers.bundle \
	  --solver=dpmpp_2m --time_grid=linspace --weight_storage=float16 \
	  --graphs=sampler,noise,step,inpaint --litert
	$(BIN)/diffkiln-train --run_dir=$(DEMO)/run
	$(BIN)/diffkiln-export --run_dir=$(DEMO)/run --bundle=$(DEMO)/own.bundle
	$(BIN)/diffkiln-sample --bundle=$(DEMO)/own.bundle --count=36 --steps=20 --scale=4 \
	  --device=cpu --out=$(DEMO)/own.png
	@echo
	@echo "$(DEMO)/flowers.png is of the model that comes with diffkiln, which $(DEMO)/flowers.bundle bakes"
	@echo "for other programs (examples/); $(DEMO)/own.png is of one that was trained here just now."

check: lint
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal -m 'not slow'

test: lint
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

hosts: $(BUILDS:%=$(VENV)-%/installed) $(VENV)-oldest/installed $(VENV)-litert/oldest $(VENV)-beam/installed
	$(VENV)-gpu/bin/python -m pytest $(addprefix tests/runtime/,$(GPU_TESTS))
	$(VENV)-openvino/bin/python -m pytest $(addprefix tests/runtime/,$(OPENVINO_TESTS))
	DIFFKILN_OPENVINO_PYTHON=$(abspath $(VENV))-openvino/bin/python $(BIN)/python -m pytest \
	  tests/examples/test_arrays.py tests/examples/test_latents_and_cascades.py -k openvino
	DIFFKILN_OLDEST_PYTHON=$(VENV)-oldest/bin/python $(BIN)/python -m pytest tests/examples/test_oldest.py
	DIFFKILN_LITERT_PYTHON=$(VENV)-litert/bin/python $(BIN)/python -m pytest tests/examples/test_litert.py
	DIFFKILN_BEAM_PYTHON=$(abspath $(VENV))-beam/bin/python $(BIN)/python -m pytest tests/examples/test_beam.py

environment: $(VENV)/installed models/flowers64-student/ema.weights.h5

# Linked file by file ("strict"), so that pyright sees diffkiln as an installed package; a new or
# renamed file therefore needs the installation again, which the list in build/sources brings about.
$(VENV)/installed: pyproject.toml constraints.txt build/sources
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if v >= (3, 11) else f"diffkiln needs Python 3.11 or later, and {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --config-settings editable_mode=strict --editable '.[cpu,train,export,plot,dev]'
	@touch $@

# Without CUDA's libraries, which are gigabytes: what is tested here needs no GPU.
$(VENV)-%/installed: $(VENV)/installed
	test -x $(VENV)-$*/bin/python || $(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --config-settings editable_mode=strict --editable . \
	  onnxruntime-$* filelock hypothesis pytest
	@touch $@

# Without diffkiln, which needs a newer onnxruntime.
$(VENV)-oldest/installed: Makefile
	test -x $(VENV)-oldest/bin/python || $(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	  $(OLDEST:%='%') pillow
	@touch $@

# The first LiteRT of this name, from the time of NumPy 1, and so without diffkiln.
$(VENV)-litert/oldest:
	test -x $(VENV)-litert/bin/python || $(PYTHON) -m venv $(VENV)-litert
	$(VENV)-litert/bin/python -m pip install --quiet --disable-pip-version-check \
	  ai-edge-litert==1.0.0 'numpy<2'
	@touch $@

# Not with constraints.txt: Apache Beam needs older packages.
$(VENV)-beam/installed: $(VENV)/installed examples/beam/requirements.txt
	test -x $(VENV)-beam/bin/python || $(PYTHON) -m venv $(VENV)-beam
	$(VENV)-beam/bin/python -m pip install --quiet --disable-pip-version-check \
	  --config-settings editable_mode=strict --editable '.[cpu]' \
	  --requirement examples/beam/requirements.txt
	@touch $@

build/sources: .FORCE
	@mkdir -p build
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

.FORCE:

clean:
	rm -rf $(VENV) $(VENV)-docs $(BUILDS:%=$(VENV)-%) $(VENV)-oldest $(VENV)-litert $(VENV)-beam $(DEMO) build diffkiln.egg-info \
	  examples/*/node_modules examples/*/build examples/csharp/bin examples/csharp/obj examples/web/dist dist site

# The repository holds the weights of the flowers once, in their graph.
models/flowers64-student/ema.weights.h5: models/flowers64-student/weights.json \
  runtime/flowers.bundle/sampler.onnx models/unpack.py | $(VENV)/installed
	$(BIN)/python models/unpack.py

.PHONY: docs dist

# The site, in site/, of the Markdown and the docstrings; a link that leads nowhere is an error.
docs: $(VENV)-docs/installed
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict

# The sdist and the wheel, in dist/; the wheel is tried in an empty environment.
dist: $(VENV)-docs/installed
	rm -rf dist
	$(VENV)-docs/bin/python scripts/try_wheel.py dist

$(VENV)-docs/installed: pyproject.toml constraints.txt build/sources
	test -x $(VENV)-docs/bin/python || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --config-settings editable_mode=strict --editable '.[docs,release]'
	@touch $@
