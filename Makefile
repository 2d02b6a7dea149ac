# One recipe each; every target makes the environment it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test exhaustive check docs pictures lint chaos drawings models bench-drawing bench-demo bench-embed bench-finetune bench-handover bench-copies bench-head bench-heads bench-lab bench-look bench-predict bench-cleaned bench-scale bench-truth clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --upgrade pip
	$(BIN)/python -m pip install -qq --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev,fast,heic,onnx]'
	touch $@

demo: install
	$(BIN)/coldframe demo

test: install
	$(BIN)/python -m pytest tests -m "not exhaustive"

# The other tests: every variant of each attack and of each damage, every point at which a process may die, what comes at the same
# moment, odd values, all that pages do (half an hour).
exhaustive: install
	$(BIN)/python -m pytest tests -m exhaustive

# The quick loop for those who change the code: lint, types, and the tests that take no framework and no minutes.
check: lint
	$(BIN)/python -m pytest tests -m "not slow and not exhaustive"

# The reference of commands, made of their help.
docs: install
	$(BIN)/python -P -m pipeline.cli.reference > docs/commands.md

# The pictures of the pages that docs/look.md shows (two minutes; needs Chromium).
pictures: install
	PICTURES=1 $(BIN)/python -m pytest tests/look/test_pictures.py -m exhaustive --numprocesses 0

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Kills, power cuts, full disks, damage, crowds and broken pictures (twenty minutes); the small share is in the tests.
chaos: install
	$(BIN)/python -m tests.chaos

# The demo's pictures alone (the README shows them), and its two models from random weights (twenty minutes).
drawings: install
	$(BIN)/coldframe demo --draw-only
	cp coldframe-demo/pictures.jpg pipeline/demo/pictures.jpg

models: install
	$(BIN)/python -P -m pipeline.demo.training.efficientnet
	$(BIN)/python -P -m pipeline.demo.training.clip

bench-drawing: install
	$(BIN)/python -m tests.benchmarks.drawing

bench-demo: install
	$(BIN)/python -m tests.benchmarks.demo

bench-embed: install
	$(BIN)/python -m tests.benchmarks.embed

# Near copies on real photographs, and hard copies of sixty of them (three minutes; needs ../shared). Other photographs and weights:
# make bench-copies COPIES="FOLDER WEIGHTS"; the cost on 12,000 pictures: make bench-copies COPIES=cost.
bench-copies: install
	$(BIN)/python -m tests.benchmarks.copies $(COPIES)

# The training loop against Keras, torch and the arithmetic alone, and a whole search (twenty minutes).
bench-head: install
	$(BIN)/python -m tests.benchmarks.head

bench-heads: install
	$(BIN)/python -m tests.benchmarks.heads

# Every head on real photographs, over five split seeds: the table in docs/head-lab.md (half an hour; needs ../shared). Other photographs
# and weights, and CLIP's for zero-shot: make bench-lab LAB="FOLDER WEIGHTS CLIP".
bench-lab: install
	$(BIN)/python -m tests.benchmarks.lab $(LAB)

# The cut against the whole network, EfficientNetB4 at 380x380 (seven minutes).
bench-finetune: install
	$(BIN)/python -m tests.benchmarks.finetune

# Head, fine-tune, three artefacts, and what they say of real photographs (five minutes; needs ../shared).
bench-handover: install
	$(BIN)/python -m tests.benchmarks.handover

# The pages of "coldframe look": start, scrolling, verdicts, memory, and the keys that judging takes (five minutes; needs Chromium and
# ../shared). Other counts, photographs and weights: make bench-look LOOK="IMAGES ROWS FOLDER WEIGHTS".
bench-look: install
	$(BIN)/python -m tests.benchmarks.look $(LOOK)

bench-predict: install
	$(BIN)/python -m tests.benchmarks.predict

# Cost at 10,000 and at 100,000 images, and at a million rows (ten minutes).
bench-scale: install
	$(BIN)/python -m tests.benchmarks.scale

# What each scorer finds of what is wrong in photographs whose truth is known (two minutes; needs ../shared). Other photographs and
# weights: make bench-truth TRUTH="FOLDER WEIGHTS TOP".
bench-truth: install
	$(BIN)/python -m tests.benchmarks.truth $(TRUTH)

# What the rules, and a person who goes through the first suspects, do for heads (twenty minutes; needs ../shared).
bench-cleaned: install
	$(BIN)/python -m tests.benchmarks.cleaned $(TRUTH)

clean:
	rm -rf .venv build dist *.egg-info
