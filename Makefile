# Set-up and commands of the course. Needs GNU make, Python and a package index; everything else goes into .venv.
PYTHON ?= python3
PY     := .venv/bin/python
STAMP  := .venv/.installed
LAB    := .venv/.lab
MIN    := $(shell sed -n 's/^min_python *= *//p' settings.ini)

# An active virtualenv, and whatever else points Python elsewhere, is not ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.PHONY: help course lab site test bench mutants clean FORCE
help:
	@echo "make course   run every notebook in its own fresh kernel, then build the site from them"
	@echo "make site     build the site from the saved notebooks, without running them: _build/site"
	@echo "make lab      open the course in JupyterLab; your notebooks are in work/"
	@echo "make test     check notebooks, package and links (takes a few minutes)"
	@echo "make bench    measure speed and memory against autograd"
	@echo "make mutants  plant 100 faults in the package's cells; how many are caught?"
	@echo "make clean    remove what make made: .venv, _build and the like"
	@echo "The first call sets up .venv; choose its Python with make PYTHON=/path/to/python, and"
	@echo "a small PyTorch, for machines without an NVIDIA GPU, with make TORCH=cpu."

course: $(STAMP)
	@$(PY) tools/run_course.py
	@$(PY) tools/build_site.py _build/notebooks

site: $(STAMP)
	@$(PY) tools/build_site.py

lab: $(if $(wildcard $(STAMP)),$(STAMP),$(LAB))
	@$(PY) tools/work.py
	@$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/work/index.ipynb \
	  $(if $(filter 0,$(shell id -u)),--allow-root)

test: $(STAMP)
	@$(PY) tools/check.py

bench: $(STAMP)
	@$(PY) tools/bench.py

mutants: $(STAMP)
	@$(PY) tools/mutants.py

clean:
	rm -rf .venv _build build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp is there while the set-up is whole: without one, or without its Python, .venv is made anew.
# Jupyter alone is enough for `make lab`; the other set-up has that, too.
$(STAMP): EXTRA = dev
$(LAB): EXTRA = lab
$(STAMP) $(LAB): settings.ini setup.py pyproject.toml $(if $(realpath $(PY)),,FORCE)
	@$(PYTHON) -c 'import sys; sys.version_info >= tuple(map(int, "$(MIN)".split("."))) or sys.exit( \
	  "Python $(MIN) or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=/path/to/python")'
	@test -x $(PY) && test -f $(STAMP) -o -f $(LAB) || { echo "Setting up .venv; torch is large, the first time takes minutes."; \
	  $(PYTHON) -m venv --clear .venv; }
	@rm -f $(STAMP) $(LAB)
	$(if $(TORCH),$(PY) -m pip install uv && $(PY) -m uv pip install --python $(PY) \
	  --torch-backend $(TORCH) torch torchvision)
	$(PY) -m pip install -e ".[$(EXTRA)]"
	@touch $@
