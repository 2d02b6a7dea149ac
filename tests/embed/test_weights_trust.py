"""Weights of strangers: no code in them runs, a store alone makes nothing be fetched, a cache is believed only if it is ours."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import shutil
import signal
import socket
import stat
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embed import allowed, embedders, pickles, pretrained
from pipeline.embed.embedders import Options, clip
from pipeline.embed.embedders.keras_applications import NETWORKS, backbone, preprocessing
from pipeline.embed.settings import Settings
from pipeline.runtime import keras_files, openvino
from pipeline.runtime.frameworks import load_keras
from pipeline.runtime.openvino import FILES
from pipeline.steps import config
from pipeline.train import networks
from store import arrays, spill
from store.errors import ColdframeError
from store.memory import memory_bytes
from store.parts import sha256_of
from store.schemas import SCHEMAS
from tests.support import artefacts, pickled, small_network, tiny_clip
from tests.support.artefacts import described, layer, packed
from tests.support.coldframe import Catalogue, Coldframe, picture
from tests.support.pickled import ORDERED, again, named, tensor, text

pytestmark = [pytest.mark.slow, pytest.mark.variants]

NAMED = "stranger/clip"  # a repository that only a store names
needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="openvino is not installed")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two one-layer towers, with tokenizer and processor."""
    return tiny_clip.save(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names that were looked up, none of which is found; the hub's cache is empty, and nobody answers a question."""
    from huggingface_hub import constants

    names: list[str] = []

    def refuse(host: str, *given: object, **more: object) -> Any:
        names.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no network in tests")

    def answer(*given: object) -> str:
        raise AssertionError("somebody was asked a question")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return names


@contextmanager
def not_waiting() -> Iterator[None]:
    """Fail where something waits for a pipe that nobody writes to."""

    def fail(*given: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Code in a folder.


def changed(tiny: Path, folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the model in which one file of settings says something else; made if it is not there."""
    shutil.copytree(tiny, folder)
    settings = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    change(settings)
    (folder / file).write_text(json.dumps(settings))
    return folder


def read_everything(folder: Path | str) -> None:
    """Load a network as embed does, and read a text with it."""
    network = embedders.load("clip", Options(str(folder)))
    network.embed([network.prepare(picture("moth", 0))])
    assert network.embed_texts(["a moth"]).shape == (1, 12)  # type: ignore[attr-defined]


REFERENCES = {
    "config.json": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
    "preprocessor_config.json": {"AutoImageProcessor": "evil.Processor"},
    "processor_config.json": {"AutoProcessor": "evil.Processor"},
    "tokenizer_config.json": {"AutoTokenizer": ["evil.Tokenizer", None]},
}


@pytest.mark.parametrize("with_code", [True, False])
@pytest.mark.parametrize("file", REFERENCES)
def test_a_folder_that_asks_to_run_code_is_refused(
    tiny: Path, tmp_path: Path, asked: list[str], file: str, with_code: bool
) -> None:
    folder = changed(tiny, tmp_path / "asking", file, lambda settings: settings.update(auto_map=REFERENCES[file]))
    ran = tmp_path / "ran"
    if with_code:
        (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w').write('x')\nclass Config: pass\nclass Model: pass\n")
    with pytest.raises(
        ColdframeError, match=rf"{file} leads to code besides plain CLIP's \(auto_map\), which coldframe never"
    ):
        read_everything(folder)
    assert not ran.exists()
    assert not asked


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer_config.json", lambda settings: settings.update(auto_map=["evil.Tokenizer", "evil.Fast"])),
        ("config.json", lambda settings: settings["vision_config"].update(auto_map={"AutoModel": "evil.Model"})),
        ("config.json", lambda settings: settings.update(auto_map={"AutoModel": "other/repository--evil.Model"})),
        ("config.json", lambda settings: settings.update(custom_pipelines={"clip": {"impl": "evil.Pipeline"}})),
        ("config.json", lambda settings: settings.update(quantization_config={"quant_method": "finegrained_fp8"})),
        ("config.json", lambda settings: settings["text_config"].update(compression_config={"quant_method": "aqlm"})),
        ("processor_config.json", lambda settings: settings.update(image_processor={"auto_map": {"A": "evil.A"}})),
        ("video_preprocessor_config.json", lambda settings: settings.update(auto_map={"AutoVideoProcessor": "evil.V"})),
    ],
)
def test_wherever_it_asks(
    tiny: Path, tmp_path: Path, asked: list[str], file: str, change: Callable[[dict[str, Any]], object]
) -> None:
    folder = changed(tiny, tmp_path / "asking", file, change)
    with pytest.raises(ColdframeError, match="leads to code besides plain CLIP's"):
        read_everything(folder)
    assert not asked


def test_the_command_says_it_in_a_sentence(cf: Coldframe, catalogue: Catalogue, tiny: Path, tmp_path: Path) -> None:
    cf.ingest(catalogue)
    asking = changed(tiny, tmp_path / "asking", "config.json", lambda one: one.update(auto_map={"AutoModel": "evil.M"}))
    said = cf("embed", "clip", "--weights", asking, code=1).stderr
    assert said.count("Error: ") == 1
    assert (
        "leads to code besides plain CLIP's (auto_map), which coldframe never runs. Give weights that plain CLIP"
        in said
    )


def test_what_only_looks_like_it_is_no_code(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    """Neither an empty entry, nor code that nobody asks for, nor a class of a name that a file has."""
    folder = changed(
        tiny, tmp_path / "plain", "config.json", lambda one: one.update(auto_map={}, label2id={"auto_map": 1})
    )
    (folder / "evil.py").write_text("raise SystemExit('ran')\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "evil"}))
    read_everything(folder)
    assert not asked


def test_attention_from_elsewhere_is_not_heeded(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    """It would be compiled code of a repository."""

    def ask(settings: dict[str, Any]) -> None:
        settings["attn_implementation"] = "stranger/kernel"
        settings["vision_config"]["attn_implementation"] = "stranger/kernel"

    read_everything(changed(tiny, tmp_path / "kernel", "config.json", ask))
    assert not asked


class Evil:
    """Runs something when it is unpickled."""

    def __init__(self, ran: Path) -> None:
        self._ran = ran

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._ran),)


def test_a_pickle_gives_tensors_alone(tiny: Path, tmp_path: Path) -> None:
    import torch

    folder, ran = tmp_path / "pickled", tmp_path / "ran"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"logit_scale": Evil(ran)}, file, protocol=2)
    with pytest.raises(
        ColdframeError,
        match=r"not available .*pytorch_model\.bin: (Weights only|it is no archive|its program)",
    ):
        read_everything(folder)
    torch.save({"logit_scale": Evil(ran)}, folder / "pytorch_model.bin")
    with pytest.raises(
        ColdframeError,
        match=r"not available .*pytorch_model\.bin: (Weights only|it is no archive|its program)",
    ):
        read_everything(folder)
    assert not ran.exists()


# Weights that only a store names.


def cached(hub: Path, repository: str, model: Path) -> None:
    """Put a model into the hub's cache as if it had been fetched: links to its files."""
    place = hub / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)
    (place / "blobs").mkdir()
    for number, file in enumerate(sorted(model.iterdir())):
        shutil.copy(file, place / "blobs" / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))


def name_weights(cf: Coldframe, weights: object, set_name: str = "clip") -> None:
    """Have the store name other weights for a feature set."""
    import pyarrow as pa

    row = cf.store.snapshot().rows("steps/embed/feature_set", embedder=set_name)[0]
    row["source"] = json.dumps(json.loads(row["source"]) | {"weights": weights})
    with cf.store.commit("embed") as commit:
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=set_name)


@pytest.fixture
def foreign(cf: Coldframe, catalogue: Catalogue, tiny: Path) -> Coldframe:
    """A store whose CLIP set names a repository, with a split and a head on the set."""
    cf.ingest(catalogue)
    cf("embed", "clip", "--weights", tiny, "--backend", "torch")
    cf("split", "test", 0.25)
    cf("train", "--head", "centroid", "--embedder", "clip")
    name_weights(cf, NAMED)
    picture("heron", 99).save("new.png")
    return cf


COMMANDS: list[tuple[object, ...]] = [
    ("score", "clip-quality"),
    ("predict", "centroid", "new.png"),
    ("verify", "--recompute", 2),
    ("train", "--head", "zero-shot"),
]


@pytest.mark.exhaustive
def test_what_only_a_store_names_is_not_fetched(foreign: Coldframe, asked: list[str]) -> None:
    for command in COMMANDS:
        said = foreign(*command, code=1).stderr
        assert f"only the store names the weights '{NAMED}', and they are not on this machine" in said, command
        assert f'weights = "{NAMED}" under [embed.NAME] in coldframe.toml' in said
        assert f"clip --weights {NAMED}" in said
        assert not asked, command


@pytest.mark.exhaustive
def test_what_is_on_this_machine_is_used_without_asking(
    foreign: Coldframe, tiny: Path, tmp_path: Path, asked: list[str]
) -> None:
    cached(tmp_path / "hub", NAMED, tiny)
    for command in COMMANDS:
        foreign(*command)
        assert not asked, command


@pytest.mark.exhaustive
def test_what_the_recipe_or_the_command_names_may_be_fetched(
    foreign: Coldframe, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Path("coldframe.toml")
    recipe.write_text('[embed.clip]\nweights = "somebody/else"\n')
    foreign("score", "clip-quality", code=1)
    assert not asked
    recipe.write_text(f'[embed.other]\nembedder = "clip"\nweights = "{NAMED}"\n')
    said = foreign("score", "clip-quality", code=1).stderr
    assert "huggingface.co" in asked
    assert f"weights '{NAMED}' are not available from the Hugging Face hub" in said
    asked.clear()
    recipe.unlink()
    foreign("score", "clip-quality", code=1)
    assert not asked
    monkeypatch.setenv("COLDFRAME_EMBED_WEIGHTS", NAMED)
    foreign("score", "clip-quality", code=1)
    assert "huggingface.co" in asked
    asked.clear()
    monkeypatch.delenv("COLDFRAME_EMBED_WEIGHTS")
    foreign("embed", "clip", "--weights", NAMED, code=1)
    assert "huggingface.co" in asked


def test_what_was_fetched_once_is_there_when_the_hub_is_not(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    cached(tmp_path / "hub", NAMED, tiny)
    read_everything(NAMED)
    assert "huggingface.co" in asked


@pytest.mark.exhaustive
def test_our_own_default_needs_no_permission(foreign: Coldframe, asked: list[str]) -> None:
    for weights in (None, "openai/clip-vit-base-patch32"):
        name_weights(foreign, weights)
        assert "are not available from the Hugging Face hub" in foreign("score", "clip-quality", code=1).stderr
        assert "huggingface.co" in asked
        asked.clear()


def test_options_of_a_store_are_not_those_of_a_person() -> None:
    assert Options(NAMED).fetch
    assert not Options.from_json({"weights": NAMED}).fetch
    assert Options.from_json({"weights": None}).fetch
    with allowed.recipe(lambda: {NAMED}):
        assert Options.from_json({"weights": NAMED}).fetch
    assert not Options.from_json({"weights": NAMED}).fetch
    assert "fetch" not in Options(NAMED).to_json()
    for wrong in ({"weights": ["a"]}, {"weights": {"a": 1}}, {"seed": "x"}):
        with pytest.raises(ColdframeError, match="the store names weights"):
            Options.from_json(wrong)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))


@pytest.mark.parametrize("make", [pipe, device, bound, Path.mkdir])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_file_of_weights_that_is_none(tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    make(path)
    source = {"weights": str(path), "size": [32, 32]}
    with not_waiting(), pytest.raises(ColdframeError, match=r"no weights at .* expected a local \.h5 or \.keras file"):
        embedders.load("mobilenet-v3-small", Options.from_json(source))


@pytest.mark.exhaustive
def test_a_link_is_followed_for_a_person_and_not_for_a_store(tmp_path: Path) -> None:
    name, size = "mobilenet-v3-small", (32, 32)
    backbone(name, weights="random", size=size).save_weights(tmp_path / "real.weights.h5")
    link = tmp_path / "link.weights.h5"
    link.symlink_to("real.weights.h5")
    assert embedders.load(name, Options(str(link), size)).dimensions == 576
    with pytest.raises(ColdframeError, match="a link, expected a regular file"):
        embedders.load(name, Options.from_json({"weights": str(link), "size": size}))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"])
@pytest.mark.parametrize("make", [pipe, device, bound])
def test_a_folder_with_something_else_than_files(
    tiny: Path, tmp_path: Path, file: str, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(tiny, folder)
    (folder / file).unlink(missing_ok=True)
    make(folder / file)
    with not_waiting(), pytest.raises(ColdframeError, match=rf"{file}: a \w+, expected a regular file"):
        read_everything(folder)


def test_places_that_are_no_folder(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tiny)
    for place, reason in (
        ("pipe", "is no folder; expected a folder"),
        ("link", "is a link"),
        ("gone", "no such folder"),
    ):
        with not_waiting(), pytest.raises(ColdframeError, match=reason):
            embedders.load("clip", Options.from_json({"weights": str(tmp_path / place)}))
    read_everything(tmp_path / "link")  # a person may name one
    assert not asked


def test_a_repository_that_was_fetched_is_looked_through_as_well(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    asking = changed(tiny, tmp_path / "asking", "config.json", lambda one: one.update(auto_map={"AutoModel": "evil.M"}))
    cached(tmp_path / "hub", NAMED, asking)
    with pytest.raises(ColdframeError, match="leads to code besides plain CLIP's"):
        embedders.load("clip", Options.from_json({"weights": NAMED}))
    assert not asked


# What a folder's settings name elsewhere.


def beside(folder: Path, file: str) -> str:
    """Put a file of the model into a folder beside it; where that is, from the model's folder."""
    (folder.parent / "beside").mkdir()
    (folder / file).rename(folder.parent / "beside" / file)
    return f"../beside/{file}"


def within(folder: Path, file: str) -> str:
    """Put a file of the model into a folder within; where that is."""
    (folder / "sub").mkdir()
    (folder / file).rename(folder / "sub" / file)
    return f"sub/{file}"


def say(folder: Path, file: str, **more: Any) -> None:
    """Have a file of settings say more."""
    said = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps(said | more))


def without(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).unlink(missing_ok=True)


def weights_within(folder: Path) -> None:
    say(folder, "config.json", transformers_weights=within(folder, "model.safetensors"))


def weights_in_a_pipe_within(folder: Path) -> None:
    weights_within(folder)
    (folder / "sub" / "model.safetensors").unlink()
    os.mkfifo(folder / "sub" / "model.safetensors")


def weights_by_an_index_within(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"logit_scale": beside(folder, "model.safetensors")}}
    (folder / "sub").mkdir()
    say(folder, "sub/x.safetensors.index.json", **index)
    say(folder, "config.json", transformers_weights="sub/x.safetensors.index.json")


def weights_by_another_index(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"logit_scale": beside(folder, "model.safetensors")}}
    say(folder, "x.safetensors.index.json", **index)
    say(folder, "config.json", transformers_weights="x.safetensors.index.json")


def weights_that_are_not_there(folder: Path) -> None:
    say(folder, "config.json", transformers_weights="other.safetensors")


def weights_under_another_name(folder: Path) -> None:
    where = within(folder, "model.safetensors")
    say(folder, "config.json", attribute_map={"transformers_weights": "other"}, other=where)


def weights_for_another_version(folder: Path) -> None:
    (folder / "config.4.0.0.json").write_text((folder / "config.json").read_text())
    say(folder, "config.4.0.0.json", transformers_weights=within(folder, "model.safetensors"))
    say(folder, "config.json", configuration_files=["config.4.0.0.json"])


def an_adapter(folder: Path) -> None:
    say(folder, "adapter_config.json", peft_type="LORA", base_model_name_or_path="stranger/clip")


def tokenizer_beside(folder: Path) -> None:
    where = beside(folder, "tokenizer.json")
    (folder / where).rename(folder / "../beside/tokenizer.4.0.json")
    say(folder, "tokenizer_config.json", fast_tokenizer_files=["../beside/tokenizer.4.0.json"])


def tokenizer_beside_as_a_key(folder: Path) -> None:
    tokenizer_beside(folder)
    say(folder, "tokenizer_config.json", fast_tokenizer_files={"../beside/tokenizer.4.0.json": 1})


def tokenizer_among_the_tokens(folder: Path) -> None:
    where = folder / beside(folder, "tokenizer.json")
    say(folder, "special_tokens_map.json", tokenizer_file=str(where.resolve()))


def vocabulary_beside(folder: Path) -> None:
    where = folder / beside(folder, "vocab.json")
    merges = where.with_name("merges.txt")
    (folder / "merges.txt").rename(merges)
    without(folder, "tokenizer.json")
    say(folder, "tokenizer_config.json", vocab=str(where.resolve()), merges=str(merges.resolve()))


def vocabulary_by_order(folder: Path) -> None:
    vocabulary_beside(folder)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    said["init_inputs"] = [said.pop("vocab"), said.pop("merges")]
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def tokenizer_in_another_format(folder: Path) -> None:
    where = beside(folder, "vocab.json")
    without(folder, "tokenizer.json")
    say(folder, "tokenizer_config.json", gguf_file=where, tokenizer_class="TokenizersBackend")


ELSEWHERE: dict[Callable[[Path], None], str] = {
    weights_within: r"config.json: its transformers_weights is 'sub/model.safetensors', expected the name of a file",
    weights_in_a_pipe_within: "config.json: its transformers_weights is 'sub/model.safetensors', expected the name of",
    weights_by_an_index_within: "its transformers_weights is 'sub/x.safetensors.index.json', expected the name of a file",
    weights_by_another_index: "x.safetensors.index.json: it names the tensors '../beside/model.safetensors', expected a file",
    weights_that_are_not_there: "config.json: it names the tensors 'other.safetensors': No such file",
    weights_under_another_name: "config.json: it has an entry 'attribute_map'",
    weights_for_another_version: "config.4.0.0.json: its transformers_weights is 'sub/model.safetensors'",
    an_adapter: "adapter_config.json: these are the settings of an adapter; expected those of a whole model",
    tokenizer_beside: r"tokenizer_config.json: its fast_tokenizer_files is '../beside/tokenizer.4.0.json'",
    tokenizer_beside_as_a_key: r"tokenizer_config.json: its fast_tokenizer_files is '../beside/tokenizer.4.0.json'",
    tokenizer_among_the_tokens: r"special_tokens_map.json: it has an entry 'tokenizer_file', expected tokens alone",
    vocabulary_beside: "tokenizer_config.json: it has an entry 'vocab', which may lead to files outside",
    vocabulary_by_order: "tokenizer_config.json: it has an entry 'init_inputs', which may lead to files outside",
    tokenizer_in_another_format: "tokenizer_config.json: its gguf_file is '../beside/vocab.json'",
}


@pytest.mark.parametrize("make", ELSEWHERE, ids=lambda one: one.__name__)
def test_settings_that_lead_elsewhere_are_refused(
    tiny: Path, tmp_path: Path, asked: list[str], make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    make(folder)
    with not_waiting(), pytest.raises(ColdframeError, match=ELSEWHERE[make]) as refused:
        read_everything(folder)
    assert "Give a local copy of the model's folder" in str(refused.value)
    assert not asked


def test_weights_of_another_name_in_the_folder_are_read(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    say(folder, "config.json", transformers_weights="other.safetensors")
    # what those who saved a tokenizer had on their machines is not heeded, and a name is no file
    elsewhere = {"tokenizer_file": "/root/gone.json", "special_tokens_map_file": "/root/gone.json"}
    say(folder, "tokenizer_config.json", **elsewhere, name_or_path="stranger/clip", init_inputs=[])
    say(folder, "special_tokens_map.json", bos_token="<|startoftext|>", additional_special_tokens=[])
    say(folder, "config.json", label2id={"vocab": 0, "attribute_map": 1}, id2label={"0": "vocab"})
    read_everything(folder)
    known = clip._source(pretrained.find("clip", str(folder), fetch=False), 0)
    assert known["other.safetensors"] == sha256_of(folder / "other.safetensors")


def test_a_kind_of_model_that_names_a_repository_is_not_asked_for(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    """As the tokenizer of one, whose settings would be fetched with it."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    say(folder, "config.json", model_type="detr", backbone="stranger/backbone", use_timm_backbone=False)
    read_everything(folder)
    assert not asked


def test_a_tokenizer_of_another_kind_is_what_its_file_says(tiny: Path, tmp_path: Path, asked: list[str]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    say(folder, "tokenizer_config.json", tokenizer_class="RagTokenizer")
    read_everything(folder)
    without(folder, "tokenizer.json")
    with pytest.raises(ColdframeError, match="are not available from the local folder"):
        read_everything(folder)
    assert not asked


# The cache of converted networks.


@pytest.fixture(scope="module")
def made_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that did not exist, with one network in it."""
    place = tmp_path_factory.mktemp("cache") / "new" / "coldframe"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLDFRAME_CACHE", str(place))
        before = os.umask(0)  # whatever the process was started with
        try:
            convert()
        finally:
            os.umask(before)
    return place


@pytest.fixture
def kept(made_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in force."""
    place = tmp_path / "coldframe"
    shutil.copytree(made_cache, place, symlinks=True)
    monkeypatch.setenv("COLDFRAME_CACHE", str(place))
    return place


def convert() -> openvino.Converted:
    return openvino.converted(small_network.load, source={"a": 1}, kind="small")


def entry(kept: Path) -> Path:
    """The folder of the only network."""
    (found,) = (place for place in (kept / "networks").iterdir() if place.is_dir())
    return found


@needs_openvino
def test_a_new_cache_is_this_users_alone(made_cache: Path) -> None:
    assert stat.S_IMODE(made_cache.stat().st_mode) == 0o700
    inside = list(made_cache.rglob("*"))
    assert {path.name for path in inside} >= {"networks", "sources", "network.xml", "network.bin", "digests.json"}
    assert not [path for path in inside if path.stat().st_mode & stat.S_IWOTH]


@needs_openvino
def test_what_is_ours_is_taken_as_it_is(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert_again(*given: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino, "_in_another_process", convert_again)
    assert convert().file == entry(kept) / "network.xml"
    kept.chmod(0o770)  # a team's
    convert()
    monkeypatch.setenv("COLDFRAME_CACHE", str(kept.with_name("link")))
    kept.with_name("link").symlink_to(kept)  # one's own, to where there is room
    convert()


def pipe_in_place_of(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def link_away(place: Path) -> None:
    """Put a link to a copy in a place."""
    aside = place.with_name(f"{place.name}-aside")
    place.rename(aside)
    place.symlink_to(aside)


OPEN_TO_OTHERS: dict[str, Callable[[Path], object]] = {
    "everybody may write": lambda kept: kept.chmod(0o777),
    "everybody may write, sticky": lambda kept: kept.chmod(0o1777),
    "everybody may write the networks": lambda kept: (kept / "networks").chmod(0o777),
    "everybody may write the sources": lambda kept: (kept / "sources").chmod(0o1777),
    "everybody may write an entry": lambda kept: entry(kept).chmod(0o777),
    "everybody may write a file": lambda kept: (entry(kept) / "network.bin").chmod(0o666),
    "networks is a link": lambda kept: link_away(kept / "networks"),
    "sources is a link": lambda kept: link_away(kept / "sources"),
    "an entry is a link": lambda kept: link_away(entry(kept)),
    "the network is a link": lambda kept: link_away(entry(kept) / "network.xml"),
    "the weights are a link": lambda kept: link_away(entry(kept) / "network.bin"),
    "the digests are a link": lambda kept: link_away(entry(kept) / "digests.json"),
    "a source is a link": lambda kept: link_away(next((kept / "sources").iterdir())),
    "networks is a file": lambda kept: (kept / "networks").rename(kept / "aside").with_name("networks").write_text(""),
    "a pipe for a network": lambda kept: pipe_in_place_of(entry(kept) / "network.xml"),
}


@needs_openvino
@pytest.mark.parametrize("how", OPEN_TO_OTHERS)
def test_a_cache_that_others_may_have_filled_is_refused(kept: Path, how: str) -> None:
    OPEN_TO_OTHERS[how](kept)
    with not_waiting(), pytest.raises(ColdframeError) as refused:
        convert()
    assert "not to be trusted" in str(refused.value)
    assert "COLDFRAME_CACHE, or choose another --backend" in str(refused.value)
    assert "\n" not in str(refused.value)


@needs_openvino
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_cache_of_somebody_else_is_refused(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(kept, 12345, -1)
    with pytest.raises(ColdframeError, match=r"belongs to somebody else \(user 12345\)"):
        convert()
    os.chown(kept, 0, -1)
    os.chown(kept / "networks", 12345, -1)
    with pytest.raises(ColdframeError, match="belongs to somebody else"):
        convert()
    kept.chmod(0o770)  # a team's, in which others make folders
    convert()
    link = tmp_path / "link"
    link.symlink_to(kept)
    os.chown(link, 12345, -1, follow_symlinks=False)
    monkeypatch.setenv("COLDFRAME_CACHE", str(link))
    with pytest.raises(ColdframeError, match="belongs to somebody else"):
        convert()


@needs_openvino
@pytest.mark.parametrize(
    "names", [["../decoy"], ["network.xml"], ["network.xml", "network.bin", "../decoy"], ["{}/decoy"], []]
)
def test_only_names_that_we_wrote_are_believed(kept: Path, names: list[str]) -> None:
    """Of others the network is made again, as a damaged one is."""
    decoy, weights, digests = (kept / "networks" / "decoy", entry(kept) / "network.bin", entry(kept) / "digests.json")
    weights.write_bytes(b"another")
    decoy.write_bytes(b"decoy")
    given = [name.format(kept / "networks") for name in names]
    digests.write_text(json.dumps({name: sha256_of(digests.parent / name) for name in given}))
    convert()
    assert weights.read_bytes() != b"another"
    assert json.loads(digests.read_text()) == {name: sha256_of(digests.parent / name) for name in FILES}


@pytest.mark.exhaustive
@needs_openvino
def test_embed_says_what_to_do(ready: Coldframe, kept: Path) -> None:
    kept.chmod(0o777)
    command = ("embed", "mobilenet-v3-small", "--weights", "random", "--size", "32x32", "--backend", "auto")
    said = ready(*command, code=1).stderr
    assert said.startswith(
        f"Error: {kept}: everybody may write there, so the converted networks there are not to be trusted"
    )


# Files of Keras: what they describe, what they are packed in, and what they hold.


Held = dict[str, bytes]  # the members of a .keras file
Config = dict[str, Any]  # the description of a network


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    return artefacts.members(artefacts.network(), tmp_path_factory.mktemp("held"))


def said_of(file: Path) -> str:
    """Why the file of a network that was trained from scratch is not taken; nothing is left of it."""
    before, unpacked = sorted(file.parent.iterdir()), Path(spill.new()).parent
    with pytest.raises(ColdframeError) as refused:
        networks.opened(file)
    assert sorted(file.parent.iterdir()) == before
    assert not [one for one in unpacked.iterdir() if one.is_dir()]
    said = str(refused.value)
    assert said.startswith(f"{file}: not a network that coldframe trained (")
    assert said.endswith("): train it again")
    assert said.isprintable()
    return said


def function(module: str, name: str) -> Config:
    """A function, as Keras describes one."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def thing(module: str, kind: str, /, **config: Any) -> Config:
    """Anything else."""
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def in_head(**values: Any) -> Callable[[Config], object]:
    return lambda config: layer(config, "head")["config"].update(values)


def in_place_of_vectors(module: str, kind: str, /, **values: Any) -> Callable[[Config], object]:
    return lambda config: layer(config, "vectors").update(thing(module, kind, name="vectors", **values))


def of_vectors(**entries: Any) -> Callable[[Config], object]:
    return lambda config: layer(config, "vectors").update(entries)


VGG = function("keras.applications.vgg16", "VGG16")
LAMBDA = thing("keras.layers", "Lambda", name="inner", function=VGG)
NAMING: dict[str, Callable[[Config], object]] = {
    **{
        f"{one['module']}.{one['config']} for an activation": in_head(activation=one)
        for one in (
            VGG,
            function("keras.applications", "MobileNetV2"),
            function("keras.datasets.mnist", "load_data"),
            function("keras.datasets.reuters", "get_word_index"),
            function("keras.utils", "plot_model"),
            function("keras.utils", "get_file"),
            function("keras.src.utils.file_utils", "get_file"),
            function("keras.models", "clone_model"),
            function("keras.activations", "relu"),
            function("os", "system"),
            function("builtins", "exec"),
        )
    },
    "a function for an initialiser": in_head(kernel_initializer=VGG),
    "a function for a regulariser": in_head(activity_regularizer=VGG),
    "a function among what a layer is called with": lambda config: layer(config, "head")["inbound_nodes"][0][
        "kwargs"
    ].update(training=VGG),
    "a function for all": lambda config: config.update(VGG),
    "code": in_head(activation={"class_name": "__lambda__", "config": {"value": ["", None, None]}}),
    "code for a layer": in_place_of_vectors("keras.layers", "Lambda", function=function("os", "system")),
    "a function of a Lambda": in_place_of_vectors("keras.layers", "Lambda", function=VGG),
    "the shape of a Lambda": in_place_of_vectors("keras.layers", "Lambda", function="relu", output_shape=VGG),
    "the mask of a Lambda": in_place_of_vectors("keras.layers", "Lambda", function="relu", mask=VGG),
    "a Lambda within": in_place_of_vectors("keras", "Sequential", layers=[LAMBDA]),
    "a Lambda in a Lambda's clothes": in_place_of_vectors("keras.src.layers.core.lambda_layer", "Lambda", function=VGG),
    "a layer around one": in_place_of_vectors("keras.layers", "TimeDistributed", layer=LAMBDA),
    "words in a file": in_place_of_vectors("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    "words to count": in_place_of_vectors("keras.layers", "TextVectorization", vocabulary="/etc/passwd"),
    "a folder of TensorFlow": in_place_of_vectors("keras.layers", "TFSMLayer", filepath="/tmp"),
    "a module of torch": in_place_of_vectors("keras.layers", "TorchModuleWrapper", module="x"),
    "a function of JAX": in_place_of_vectors("keras.layers", "JaxLayer", call_fn="x"),
    "a log": in_head(activation=thing("keras.callbacks", "CSVLogger", filename="/tmp/log")),
    "a store of files": in_head(activation=thing("keras.src.saving.saving_lib", "DiskIOStore", root_path="/tmp/x")),
    "a type": in_head(activation={**thing("tensorflow", "__typespec__"), "spec_name": "TensorSpec"}),
    "something of another package": in_head(activation=thing("keras_hub.layers", "Anything")),
    "something of no package": of_vectors(module=None),
    "a module that is no name": of_vectors(module=["keras.layers"]),
    "a class that is no name": of_vectors(class_name=["Lambda"]),
    "what a program has added": of_vectors(registered_name="Custom>Identity"),
    "something in clothes of a value": in_head(activation={**VGG, "class_name": "__numpy__"}),
}


@pytest.mark.parametrize("kind", NAMING)
def test_what_does_more_than_compute_is_not_made(held: Held, tmp_path: Path, asked: list[str], kind: str) -> None:
    file = tmp_path / "network.keras"
    file.write_bytes(described(held, NAMING[kind]))
    assert "only layers that do no more than compute are taken" in said_of(file)
    assert not asked


@pytest.mark.parametrize("kind", list(NAMING)[:3] + list(NAMING)[-3:])
def test_nor_for_the_weights_of_a_backbone(held: Held, tmp_path: Path, asked: list[str], kind: str) -> None:
    file = tmp_path / "weights.keras"
    file.write_bytes(described(held, NAMING[kind]))
    with pytest.raises(
        ColdframeError, match=r"does not hold weights of this network .*\(it names .*expected those of Mob"
    ):
        backbone("mobilenet-v3-small", weights=str(file), size=(32, 32))
    assert not asked


def of_layers(config: Config) -> None:
    """Some that neither we nor Keras Applications use, and that only compute."""
    layer(config, "head")["config"]["kernel_regularizer"] = thing("keras.regularizers", "L2", l2=0.1)
    layer(config, "head")["config"]["activation"] = thing("keras.layers", "LeakyReLU", negative_slope=0.1)
    layer(config, "vectors").update(thing("keras.layers", "GaussianNoise", name="vectors", stddev=0.1))


def trained_with(config: Config) -> None:
    """How a network was compiled, which is not heeded, whatever it says."""
    config["compile_config"] = {"optimizer": LAMBDA, "loss": VGG, "metrics": None}


@pytest.mark.parametrize("change", [of_layers, trained_with, lambda config: None])
def test_what_only_computes_is_taken(held: Held, tmp_path: Path, change: Callable[[Config], None]) -> None:
    (tmp_path / "network.keras").write_bytes(described(held, change))
    given = networks.opened(tmp_path / "network.keras")(np.zeros((2, 8, 6, 3), np.uint8))
    assert given.shape == (2, 3)
    assert not [one for one in Path(spill.new()).parent.iterdir() if one.is_dir()]


FAMILIES = [
    name for name in NETWORKS if name.endswith(("-tiny", "-121", "-b0", "-v2", "-v3", "mobilenet", "-small", "-50"))
]


@pytest.mark.parametrize("name", [*FAMILIES, "vgg-16", "xception"])
def test_what_keras_applications_writes_is_taken(name: str) -> None:
    keras = load_keras()
    with keras.device("meta"):  # without weights, which would take their time
        network = getattr(keras.applications, NETWORKS[name][1])(
            weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3)
        )
    pictures = keras.Input((96, 96, 3), dtype="uint8")
    vectors = network(preprocessing(name)(keras.ops.cast(pictures, "float32")), training=False)
    keras_files._look_through(json.loads(keras.Model(pictures, vectors).to_json()))


def test_what_trains_from_scratch_is_taken() -> None:
    for name in networks.names():
        keras_files._look_through(json.loads(networks.build(name, 3, (32, 32)).to_json()))


def over_each_other(held: Held) -> bytes:
    """Two members that are the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in held.items():
            file.writestr(name, data)
        again = copy.copy(file.getinfo("model.weights.h5"))
        again.filename = again.orig_filename = "metadata.json"
        file.filelist[file.filelist.index(file.getinfo("metadata.json"))] = again
        file.start_dir = buffer.tell()
    return buffer.getvalue()


def twice(held: Held) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return packed([*held.items(), ("config.json", held["config.json"])])


def with_member(held: Held, member: zipfile.ZipInfo) -> bytes:
    """Another member, which is empty, beside them."""
    buffer = io.BytesIO(packed(held.items()))
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(member, b"")
    return buffer.getvalue()


def with_comment(held: Held) -> bytes:
    buffer = io.BytesIO(packed(held.items()))
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = b"x"
    return buffer.getvalue()


ARCHIVES: dict[str, tuple[Callable[[Held], bytes], str]] = {
    "compressed": (lambda held: packed(held.items(), zipfile.ZIP_DEFLATED), "in it is compressed"),
    "packed tight": (lambda held: packed(held.items(), zipfile.ZIP_LZMA), "in it is compressed"),
    "one more": (lambda held: packed([*held.items(), ("assets/x.txt", b"x")]), "it holds 'assets/x.txt'"),
    "one that leads out": (lambda held: packed([*held.items(), ("../../x", b"x")]), r"it holds '\.\./\.\./x'"),
    "a folder": (lambda held: packed([*held.items(), ("config.json/", b"")]), "it holds 'config.json/'"),
    "twice": (twice, "two things of one name"),
    "twice in other letters": (lambda held: packed([*held.items(), ("Config.json", b"{}")]), "two things of one name"),
    "by two names": (lambda held: with_member(held, with_name("x", "config.json")), "has a second name"),
    "by half a name": (lambda held: with_member(held, with_zero("x\0y")), "its name is no text"),
    "over each other": (over_each_other, "it claims more bytes than it has"),
    "no weights": (lambda held: packed([*held.items()][:2]), "it lacks 'model.weights.h5'"),
    "other weights": (
        lambda held: packed([*[*held.items()][:2], ("model.weights.npz", b"x")]),
        "it lacks 'model.weights.h5'|it holds 'model.weights.npz'",
    ),
    "a long description": (
        lambda held: packed((held | {"config.json": b" " * (5 << 20) + held["config.json"]}).items()),
        "config.json is larger than",
    ),
    "a deep description": (
        lambda held: packed((held | {"config.json": b"[" * 200_000}).items()), "config.json is nested too deep",
    ),
    "a description of nothing": (lambda held: packed((held | {"config.json": b"null"}).items()), "it describes no network"),
    "a description of a layer": (
        lambda held: packed((held | {"config.json": json.dumps(thing("keras.layers", "ReLU")).encode()}).items()),
        "it describes no network",
    ),
    "no archive": (lambda held: b"x" * 1000, "it is no archive"),
    "weights before it": (lambda held: held["model.weights.h5"] + packed(held.items()), "has something before"),
    "something before it": (lambda held: b"PK\3\4" + packed(held.items()), "has something before"),
    "something behind it": (lambda held: packed(held.items()) + b"x", "something before, behind"),
    "a comment": (with_comment, "something before, behind"),
    "two in one": (lambda held: packed(held.items()) * 2, "has something before"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_that_keras_does_not_write(held: Held, tmp_path: Path, kind: str) -> None:
    make, said = ARCHIVES[kind]
    (tmp_path / "network.keras").write_bytes(make(held))
    assert re.search(said, said_of(tmp_path / "network.keras"))


KERNEL = "layers/dense/vars/0"


def with_kernel(change: Callable[[Any], object]) -> Callable[[Any], object]:
    """Remove the weights of the last layer, and put something else there."""

    def changed(file: Any) -> None:
        del file[KERNEL]
        change(file)

    return changed


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((3, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 3))
    file.create_virtual_dataset(KERNEL, layout)


def linked(file: Any, kind: str, *to: str) -> None:
    import h5py

    file[KERNEL] = getattr(h5py, kind)(*to)


WIDE = (5000, 5000)  # 100 MB
HDF5: dict[str, tuple[Callable[[Any], object], str]] = {
    "compressed": (
        with_kernel(lambda file: file.create_dataset(KERNEL, data=np.zeros((3, 3), "f4"), compression="gzip")),
        "'0' in it is compressed",
    ),
    "a bomb": (
        with_kernel(lambda file: file.create_dataset(KERNEL, WIDE, "f4", chunks=(1000, 1000), compression="gzip")),
        "'0' in it is compressed",
    ),
    "shuffled": (
        with_kernel(lambda file: file.create_dataset(KERNEL, data=np.zeros((3, 3), "f4"), chunks=(3, 3), shuffle=True)),
        "'0' in it is compressed",
    ),
    "never written": (
        with_kernel(lambda file: file.create_dataset(KERNEL, WIDE, "f4")), "claims 100000000 bytes, and has 0",
    ),
    "never written, in pieces": (
        with_kernel(lambda file: file.create_dataset(KERNEL, WIDE, "f4", chunks=(1000, 1000), fillvalue=1)),
        "claims 100000000 bytes, and has 0",
    ),
    "in another file": (
        with_kernel(lambda file: file.create_dataset(KERNEL, (3, 3), "f4", external=[("raw.bin", 0, 36)])), "lies elsewhere",
    ),
    "virtual": (with_kernel(virtual), "lies elsewhere"),
    "a link": (with_kernel(lambda file: linked(file, "SoftLink", "/layers/dense/vars/1")), "'0' in it is a link"),
    "a link to another file": (
        with_kernel(lambda file: linked(file, "ExternalLink", "other.h5", "/x")), "'0' in it is a link",
    ),
    "two names": (lambda file: file.__setitem__("again", file[KERNEL]), "is there under another name"),
    "round": (lambda file: file["layers"].__setitem__("round", file["/"]), "is there under another name"),
    "a type": (lambda file: file.__setitem__("type", np.dtype("f4")), "neither a group nor an array"),
    "text": (with_kernel(lambda file: file.__setitem__(KERNEL, "x" * 100)), "holds no numbers"),
    "records": (with_kernel(lambda file: file.__setitem__(KERNEL, np.zeros(3, [("a", "f4")]))), "holds no numbers"),
    "nothing": (
        with_kernel(lambda file: file.create_dataset(KERNEL, dtype="f4")), "holds no numbers|claims",
    ),
    "a type of many": (lambda file: file[KERNEL].attrs.__setitem__("dtype", np.zeros(100)), "has no type"),
}  # fmt: skip


def with_weights(held: Held, folder: Path, change: Callable[[Any], object]) -> Held:
    """The members, of which the weights are changed."""
    import h5py

    (folder / "changed.h5").write_bytes(held["model.weights.h5"])
    with h5py.File(folder / "changed.h5", "r+") as file:
        change(file)
    changed = held | {"model.weights.h5": (folder / "changed.h5").read_bytes()}
    (folder / "changed.h5").unlink()
    return changed


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", HDF5)
def test_weights_take_what_their_file_has(held: Held, tmp_path: Path, kind: str) -> None:
    change, said = HDF5[kind]
    changed = with_weights(held, tmp_path, change)
    (tmp_path / "network.keras").write_bytes(packed(changed.items()))
    with little_memory():
        assert re.search(said, said_of(tmp_path / "network.keras"))
    for name in ("x.weights.h5", "x.h5"):
        with little_memory(), pytest.raises(keras_files.Unfit, match=said):
            keras_files.load_weights(artefacts.network(), io.BytesIO(changed["model.weights.h5"]), name)


def test_a_backbone_takes_no_more_either(tmp_path: Path) -> None:
    import h5py

    file = tmp_path / "own.weights.h5"
    backbone("mobilenet-v3-small", weights="random", size=(32, 32)).save_weights(file)
    with h5py.File(file, "r+") as opened:
        del opened["layers/conv2d/vars/0"]
        opened.create_dataset("layers/conv2d/vars/0", WIDE, "f4", chunks=(1000, 1000), compression="gzip")
    with pytest.raises(ColdframeError, match=r"does not hold weights of this network .*'0' in it is compressed"):
        backbone("mobilenet-v3-small", weights=str(file), size=(32, 32))


@pytest.mark.parametrize("units", [4, 10_000, 2**33])
def test_a_network_has_no_more_weights_than_its_file(held: Held, tmp_path: Path, units: int) -> None:
    """They would be random, and take any memory."""
    (tmp_path / "network.keras").write_bytes(described(held, in_head(units=units)))
    with little_memory():
        assert "have more weights than the 12 numbers that it holds" in said_of(tmp_path / "network.keras")


def test_layers_that_others_make_meanwhile_are_not_counted() -> None:
    keras = load_keras()
    before = keras.layers.Layer.add_weight
    with keras_files._no_more_weights_than(keras, 9), ThreadPoolExecutor(1) as other:
        other.submit(keras.layers.Dense(10).build, (None, 10)).result()
        keras.layers.Dense(3, use_bias=False).build((None, 3))
        with pytest.raises(keras_files.Unfit, match="more weights than the 9 numbers"):
            keras.layers.Dense(1).build((None, 1))
    assert keras.layers.Layer.add_weight is before


def test_a_network_that_lacks_weights_is_refused(held: Held, tmp_path: Path) -> None:
    changed = with_weights(held, tmp_path, lambda file: file.move("layers/dense", "layers/other"))
    (tmp_path / "network.keras").write_bytes(packed(changed.items()))
    said_of(tmp_path / "network.keras")


@pytest.mark.parametrize("name", ["network.keras", "own.weights.h5", "own.h5"])
def test_a_file_with_holes_is_not_copied(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 1 << 43)  # with no bytes on the disk
    for backend in ("torch", openvino.NAME) if openvino.installed() else ("torch",):  # OpenVINO takes a checksum first
        with pytest.raises(ColdframeError, match="its 8796093022208 bytes are more than this machine can hold"):
            embedders.load("mobilenet-v3-small", Options(str(tmp_path / name), (32, 32), backend=backend))
    if name.endswith("keras"):
        said_of(tmp_path / name)


def earlier(names: list[str], weights: list[str]) -> bytes:
    """Weights of a layer as an earlier Keras writes them, under these names."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = names
        group = file.create_group("head")
        group.attrs["weight_names"] = weights
        group["kernel"], group["bias"] = np.ones((3, 3), np.float32), np.ones(3, np.float32)
    return buffer.getvalue()


def test_weights_of_both_kinds_are_loaded(tmp_path: Path) -> None:
    network, other = artefacts.network(), artefacts.network()
    network.save_weights(tmp_path / "x.weights.h5")
    with (tmp_path / "x.weights.h5").open("rb") as file:
        keras_files.load_weights(other, file, "x.weights.h5")
    assert all(np.array_equal(*both) for both in zip(network.get_weights(), other.get_weights(), strict=True))
    keras_files.load_weights(other, io.BytesIO(earlier(["head"], ["kernel", "bias"])), "x.h5")
    assert all((one == 1).all() for one in other.get_weights())


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["head"], ["kernel"] * 100),
        (["head"], ["kernel", "bias", "./kernel"]),
        (["head", "head"], ["kernel", "bias"]),
    ],
)
def test_weights_are_loaded_once(names: list[str], weights: list[str]) -> None:
    with pytest.raises(keras_files.Unfit, match="have one twice"):
        keras_files.load_weights(artefacts.network(), io.BytesIO(earlier(names, weights)), "x.h5")


@pytest.mark.exhaustive
def test_names_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names that stand for one text of a megabyte: a file of a megabyte would take a thousand."""
    data = earlier(["x" * 1_000_000, *"y" * 1500], ["kernel", "bias"])
    length, other = struct.pack("<I", 1_000_000), struct.pack("<I", 1)
    at = next(one for one in range(len(data)) if data[one : one + 4] == length and data[one + 16 : one + 20] == other)
    data = data[:at] + data[at : at + 16] * 1501 + data[at + 16 * 1501 :]
    monkeypatch.setattr(keras_files, "NAMES_MEMORY", 1 << 30)
    with pytest.raises(keras_files.Unfit, match="the names in it cannot be read, or take more memory"):
        keras_files.load_weights(artefacts.network(), io.BytesIO(data), "x.h5")


def test_no_room_to_unpack_is_said(held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network.keras").write_bytes(packed(held.items()))
    for place in ("", str(tmp_path / "none" / "there")):
        monkeypatch.setattr(spill, "new", lambda place=place: place)
        with pytest.raises(ColdframeError, match=r"cannot be unpacked .*: make room in the temporary folder"):
            networks.opened(tmp_path / "network.keras")


def test_weights_in_half_precision_are_loaded(tmp_path: Path) -> None:
    keras = load_keras()
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16"), keras.layers.Dropout(0.5)])
    network.compile("adam", "mse")
    network.save(tmp_path / "half.keras")
    with (tmp_path / "half.keras").open("rb") as file:
        found = keras_files.load_network(file)
    assert [one.dtype for one in found.weights[:2]] == ["bfloat16"] * 2
    both = zip(network.get_weights(), found.get_weights(), strict=True)
    assert all(np.array_equal(one.astype(np.float32), other.astype(np.float32)) for one, other in both)


# What a folder claims, and what it has.


def test_the_default_weights_are_no_folder_of_the_working_folder(tiny: Path, asked: list[str]) -> None:
    for name in (clip.DEFAULT_WEIGHTS, NAMED):
        shutil.copytree(tiny, name)
    with pytest.raises(ColdframeError, match="are not available from the Hugging Face hub"):
        embedders.load("clip", Options())
    with pytest.raises(ColdframeError, match="only the store names the weights"):
        embedders.load("clip", Options.from_json({"weights": NAMED}))
    assert embedders.load("clip", Options(NAMED)).dimensions == 12  # as a person named it


@pytest.mark.parametrize("name", ["imagenet", "random"])
def test_nor_are_the_words_of_keras_applications_a_file_there(name: str) -> None:
    Path(name).write_bytes(b"x")
    Path("coldframe.toml").write_text(f"[embed.mobilenet-v3-small]\nweights = {name!r}\n")
    settings = config.load(None).settings(Settings, "embed", "mobilenet-v3-small", flags={})
    assert settings.weights == name


def test_nor_are_those_of_clip_in_a_recipe(tiny: Path) -> None:
    shutil.copytree(tiny, clip.DEFAULT_WEIGHTS)
    Path("coldframe.toml").write_text(f"[embed.clip]\nweights = {clip.DEFAULT_WEIGHTS!r}\n")
    assert config.load(None).settings(Settings, "embed", "clip", flags={}).weights == clip.DEFAULT_WEIGHTS


def test_a_pickle_whose_tensors_show_one_number_again_and_again_is_refused(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "wide"
    shutil.copytree(tiny, folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state["text_model.embeddings.token_embedding.weight"] = torch.zeros(1).expand(10**8, 12)
    torch.save(state, folder / "pytorch_model.bin")
    assert (folder / "pytorch_model.bin").stat().st_size < 10**6
    with pytest.raises(ColdframeError, match="its tensors have more numbers than it has bytes"):
        read_everything(folder)


def expanded(tiny: Path, folder: Path) -> Path:
    """The model with its tensors in a pickle, one of which shows a single number again and again."""
    import torch
    from safetensors.torch import load_file

    shutil.copytree(tiny, folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state["text_model.embeddings.token_embedding.weight"] = torch.zeros(1).expand(10**8, 12)
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def by_index(folder: Path) -> None:
    (folder / "pytorch_model.bin").rename(folder / "part.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"logit_scale": "part.bin"}}))


def by_config(folder: Path) -> None:
    (folder / "pytorch_model.bin").rename(folder / "part.bin")
    said = json.loads((folder / "config.json").read_text()) | {"transformers_weights": "part.bin"}
    (folder / "config.json").write_text(json.dumps(said))


@pytest.mark.parametrize("beside", [lambda folder: (folder / "x.safetensors").touch(), by_index, by_config])
def test_each_pickle_that_may_be_loaded_is_checked(
    tiny: Path, tmp_path: Path, beside: Callable[[Path], object]
) -> None:
    folder = expanded(tiny, tmp_path / "wide")
    beside(folder)
    with pytest.raises(ColdframeError, match="its tensors have more numbers than it has bytes"):
        read_everything(folder)


def test_tensors_are_counted_however_deep_they_lie(tmp_path: Path) -> None:
    import torch

    torch.save({"a": [{"b": torch.zeros(1).expand(10**6)}]}, tmp_path / "deep.bin")
    with pytest.raises(ValueError, match="more numbers than it has bytes"):
        pickles.check(tmp_path / "deep.bin")


BYTES = (named("_codecs", "encode"), text("x"), text("latin1"), b"\x86", b"R")
HOLD = (b"}", text("a"))  # a dictionary and the first of its keys
TWICE = (
    b"(",
    b"K\1",
    b"\x85",
    *(part for place in range(2, 42) for part in (again(place), again(place), b"\x86")),
    b"t",
)
STRANGE: dict[str, tuple[bytes, ...]] = {
    "copied": (*HOLD, named("collections", "OrderedDict"), b"}", b"\x85", b"R", b"s"),
    "copied again": (*HOLD, *ORDERED, named("collections", "OrderedDict"), again(3), b"\x85", b"R", b"0", b"s"),
    "doubled": (*HOLD, *TWICE, b"s"),
    "one list twice": (*HOLD, b"]", b"s", text("b"), again(2), b"s"),
    "itself": (b"}", text("a"), again(0), b"s"),
    "duplicate": (*HOLD, b"]", b"2", b"a", b"s"),
    "thrown away": (*HOLD, b"N", b"N", b"0", b"s"),
    "bytes": (*HOLD, *BYTES, b"s"),
    "array of bytes": (*HOLD, named("builtins", "bytearray"), b"K\x10", b"\x85", b"R", b"s"),
    "counter": (*HOLD, named("collections", "Counter"), b")", b"R", b"s"),
    "function": (*HOLD, named("collections", "OrderedDict"), b"s"),
    "storage": (*HOLD, *tensor()[2:9], b"s"),
    "storage of no size": (*HOLD, *tensor(count=17), b"s"),
    "storage of no key": (*HOLD, *tensor(key="1"), b"s"),
    "hooks": (*HOLD, *tensor(hooks=(*ORDERED, text("hook"), b"N", b"s")), b"s"),
    "hooks of another kind": (*HOLD, *tensor(hooks=(b"}",)), b"s"),
    "attribute": (*ORDERED, b"}", text("items"), b"N", b"s", b"b"),
    "attributes of a tensor": (*tensor(), b"}", text("_metadata"), b"N", b"s", b"b"),
    "a key that is a tuple": (b"}", b"K\1", b"\x85", b"N", b"s"),
    "a key that is large": (b"}", b"\x8a\x08" + bytes([255] * 7 + [31]), b"N", b"s"),
    "a key that is long": (b"}", text("a" * 10**4), b"N", b"s"),
    "deep": (b"N", *[b"\x85"] * 1000),
    "deep lists": (*[b"]"] * 1000, *[b"a"] * 999),
    "no end of a part": (b"}", b"(", text("a"), b"N"),
    "part of a pair": (b"}", b"(", text("a"), b"u"),
    "nothing": (b"s",),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_program_has_nothing_that_torch_does_not_write(tmp_path: Path, kind: str) -> None:
    """Neither what copies or repeats, so that a few bytes take long, nor what makes anything else than tensors."""
    file = pickled.write(tmp_path / "strange.bin", pickled.program(*STRANGE[kind]))
    with pytest.raises(
        ValueError, match=r"^its program (has \w+(, which none| where torch never)|names .*, which makes)"
    ):
        pickles.check(file)


PLAIN = pickled.program(*HOLD, *tensor(), b"s")


@pytest.mark.parametrize(
    "code",
    [
        PLAIN + b".",
        PLAIN.replace(b"\x80\x02", b"\x80\x03"),
        PLAIN[2:],
        PLAIN.replace(b"r\0\0\0\0", b""),
        PLAIN.replace(b"r\0\0\0\0", b"r\0\0\0\0r\1\0\0\0"),
        PLAIN.replace(b"r\0\0\0\0", b"r\0\0\0\x40"),
    ],
)
def test_a_program_is_written_as_pickle_writes_it(tmp_path: Path, code: bytes) -> None:
    pickles.check(pickled.write(tmp_path / "plain.bin", PLAIN))
    with pytest.raises(ValueError, match=r"^its program has \w+ where torch never writes it"):
        pickles.check(pickled.write(tmp_path / "strange.bin", code))


def test_a_program_of_many_copies_is_refused_at_once(tmp_path: Path) -> None:
    ordered = named("collections", "OrderedDict")
    many = [part for key in range(50_000) for part in (text(str(key)), b"N")]
    copies = [part for _ in range(1000) for part in (text("c"), ordered, again(2), b"\x85", b"R")]
    code = pickled.program(b"}", text("a"), b"}", b"(", *many, b"u", b"s", b"(", *copies, b"u")
    before = time.monotonic()
    with pytest.raises(ValueError, match="its program has LONG_BINGET where torch never writes it"):
        pickles.check(pickled.write(tmp_path / "copies.bin", code))
    assert time.monotonic() - before < 10


BOMB = pickled.program(named("builtins", "bytearray"), b"K\x10", b"\x85", b"R")


def with_name(shown: str, other: str) -> zipfile.ZipInfo:
    """A member with a second name, in the extra field for names in Unicode."""
    made = zipfile.ZipInfo(shown)
    of = struct.pack("<BL", 1, zlib.crc32(shown.encode())) + other.encode()
    made.extra = struct.pack("<HH", 0x7075, len(of)) + of
    return made


def with_zero(shown: str) -> zipfile.ZipInfo:
    """A member whose name has a zero and more behind it."""
    made = zipfile.ZipInfo("archive/x")
    made.filename = shown
    return made


def with_field(shown: str, kind: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(shown)
    made.extra = struct.pack("<HHQ", kind, 8, 0)
    return made


NAMES: dict[str, pickled.Member] = {
    "program in capitals": ("archive/DATA.PKL", BOMB),
    "program in one capital": ("archive/data.pkL", BOMB),
    "top in capitals": ("ARCHIVE/data.pkl", BOMB),
    "numbers in capitals": ("archive/DATA/0", bytes(64)),
    "note in capitals": ("archive/VERSION", b"3\n"),
    "another top": ("other/data.pkl", PLAIN),
    "another program below": ("archive/data/data.pkl", PLAIN),
    "no top": ("data.pkl", PLAIN),
    "zeros before a number": ("archive/data/00", bytes(64)),
    "code": ("archive/code/__torch__.py", b""),
    "constants": ("archive/constants.pkl", BOMB),
    "second name": (with_name("archive/data/1", "archive/data.pkl"), bytes(64)),
    "program with a second name": (with_name("archive/data/2", "archive/hidden"), bytes(64)),
    "name with a zero": (with_zero("archive/data/3\0x"), bytes(64)),
    "extra field": (with_field("archive/data/4", 0x5455), bytes(64)),
    "alignment of zero": ("archive/.storage_alignment", b"0"),
    "large alignment": ("archive/.storage_alignment", b"10000000000"),
    "long note": ("archive/byteorder", b"little" * 100),
}


@pytest.mark.parametrize("kind", NAMES)
def test_an_archive_has_only_members_that_torch_writes(tmp_path: Path, kind: str) -> None:
    """Torch looks for them without regard to case, and takes the first folder for all; Python does neither."""
    for at, members in (("first", (NAMES[kind],)), ("last", ())):
        last = pickled.MEMBERS if members else (*pickled.MEMBERS, NAMES[kind])
        file = pickled.write(tmp_path / f"{at}.bin", PLAIN, *members, last=last)
        with pytest.raises(
            (ValueError, ColdframeError),
            match=r"it is not a file of tensors as torch|it is no archive|two things of one name|a second name|is no text",
        ):
            pickles.check(file)


@pytest.mark.parametrize("order", [b"big", b"native", b"Little", b"little\n", b"", b"\xff"])
def test_numbers_in_another_order_of_bytes_are_refused(tmp_path: Path, order: bytes) -> None:
    """Torch, which turns them round in place, crashes; so the test loads nothing."""
    file = pickled.write(tmp_path / "order.bin", PLAIN, last=(*pickled.MEMBERS, ("archive/byteorder", order)))
    with pytest.raises(ValueError, match=r"its numbers are in the byte order '.*', expected 'little'"):
        pickles.check(file)
    pickles.check(pickled.write(file, PLAIN, last=(*pickled.MEMBERS, ("archive/byteorder", b"little"))))


def test_an_archive_behind_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    """Torch goes by the first bytes, and Python by the last."""
    file = tmp_path / "both.bin"
    file.write_bytes(BOMB)
    with zipfile.ZipFile(file, "a") as opened:
        for one, data in (("archive/data.pkl", PLAIN), *pickled.MEMBERS):
            opened.writestr(one, data)
    with pytest.raises(ColdframeError, match="it is no archive"):
        pickles.check(file)


def torch_saves() -> dict[str, Any]:
    """Dictionaries of tensors as they are."""
    import torch

    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    groups = [{"params": [one]} for one in network.parameters()]
    kinds = (
        "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128 uint16 float8_e4m3fn"
    )
    lists: list[Any] = [1, "two", 3.5, None, True, 2**70, -1, (), (1, (2, [3]))]
    return {
        "of a network": network.state_dict(),
        "with parameters": dict(network.named_parameters()),
        "of all kinds": {kind: torch.zeros(3, dtype=getattr(torch, kind)) for kind in kinds.split()},
        "shared": {"a": whole, "b": whole[1:], "c": whole.T, "d": whole, "e": torch.zeros(()), "f": torch.zeros(0)},
        "with gradients": {"a": torch.zeros(2, requires_grad=True)},
        "conjugate": {"a": torch.zeros(9, dtype=torch.complex64).conj()},
        "nested": {"model": network.state_dict(), "step": 3, "other": {"lists": lists, "type": torch.float32, 7: {}}},
        "of a training": torch.optim.SGD(groups, lr=0.1, momentum=0.9).state_dict(),
        "with pairs": torch.optim.Adam(groups).state_dict(),
        "of many": {f"layer.{number}": torch.zeros(1) for number in range(1500)},
        "of none": {},
    }


def test_what_torch_saves_is_accepted(tmp_path: Path) -> None:
    import torch

    for kind, held in torch_saves().items():
        name = kind.replace(" ", "-")
        for file in (tmp_path / f"{name}.bin", tmp_path / f"{name}-żółw.bin"):
            torch.save(held, file)
            pickles.check(file)


def test_what_older_versions_of_torch_saved_is_accepted(tmp_path: Path) -> None:
    """They named a storage by a large number, and wrote no notes but the version."""
    import torch

    members: list[pickled.Member] = [("archive/data/94023514253248", bytes(16)), ("archive/version", b"3\n")]
    code = pickled.program(*HOLD, *tensor(key="94023514253248"), b"s")
    file = pickled.write(tmp_path / "old.bin", code, last=members)
    pickles.check(file)
    assert torch.load(file, weights_only=True)["a"].shape == (4,)


def test_a_model_with_its_tensors_in_a_pickle_is_read(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPModel

    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for state in (load_file(tiny / "model.safetensors"), CLIPModel.from_pretrained(tiny).state_dict()):
        torch.save(state, folder / "pytorch_model.bin")
        read_everything(folder)


def test_numbers_are_counted_beside_a_dictionary_too(tmp_path: Path) -> None:
    import torch

    held = torch.nn.Linear(2, 2).state_dict()
    held._metadata = {"a": torch.zeros(1).expand(10**6)}
    torch.save(held, tmp_path / "beside.bin")
    with pytest.raises(ValueError, match="more numbers than it has bytes"):
        pickles.check(tmp_path / "beside.bin")


def two_lists(folder: Path) -> Path:
    """An archive with a second list of its members, which Python finds and torch does not."""
    import torch

    torch.save({"a": torch.zeros(9)}, folder / "one.bin")
    torch.save({"a": torch.zeros(1).expand(10**6)}, folder / "other.bin")
    (folder / "both.bin").write_bytes((folder / "other.bin").read_bytes() + (folder / "one.bin").read_bytes())
    return folder / "both.bin"


def test_an_archive_with_two_lists_of_its_members_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColdframeError, match="it is no archive"):
        pickles.check(two_lists(tmp_path))
    pickles.check(tmp_path / "one.bin")


def test_a_file_of_tensors_larger_than_the_memory_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    shutil.copytree(tiny, folder)
    with (folder / "notes.bin").open("wb") as file:
        file.truncate(memory_bytes() + 1)
    with pytest.raises(ColdframeError, match=r"notes\.bin: larger than \d+ bytes"):
        read_everything(folder)


def same_weights(folder: Path, name: str, *first: Any) -> Path:
    """A network of Keras with weights that are the same each time, and other layers in front of them."""
    keras = load_keras()
    pictures = keras.Input((8, 6, 3), name="pictures")
    at = pictures
    for one in first:
        at = one(at)
    network = keras.Model(pictures, keras.layers.Dense(4, name="vectors")(keras.layers.GlobalAveragePooling2D()(at)))
    network.set_weights([np.arange(12, dtype=np.float32).reshape(3, 4), np.ones(4, np.float32)])
    network.save(folder / f"{name}.keras")
    return folder / f"{name}.keras"


@pytest.mark.exhaustive
def test_the_same_weights_in_another_network_are_another_network(ready: Coldframe, tmp_path: Path) -> None:
    keras = load_keras()
    file = same_weights(tmp_path, "mine")
    asked = ("embed", "mobilenet", "--as", "mine", "--size", "8x6", "--weights")
    ready(*asked, file, "--limit", 3)
    renamed = same_weights(tmp_path, "renamed", keras.layers.Identity(name="x"))
    other = same_weights(tmp_path, "other", keras.layers.Rescaling(0.0, offset=128.0))
    said = ready(*asked, other, code=1).stderr
    assert "made with a network that has the same weights and computes something else" in said
    assert "computes something else" in ready(*asked, renamed, code=1).stderr
    assert "3 cached, 21 embedded" in ready(*asked, same_weights(tmp_path, "again")).stderr
    shutil.copy(other, file)
    assert (
        "are not those that the feature set 'mine' was made with"
        in ready("verify", "--recompute", 1, "--embedder", "mine", code=1).stderr
    )


def test_a_converted_network_is_not_that_of_another_with_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    found = {
        kind: openvino.converted(loader, source=None, kind="small").file for kind, loader in small_network.KINDS.items()
    }
    pixels = np.array([[1, 2, 6], [0, 0, 3]] * 2, np.float32)
    given = {kind: openvino.Network(file, "float32")(pixels) for kind, file in found.items()}
    assert np.allclose(given["mean"].ravel()[:2], [3, 1])
    assert np.allclose(given["sum"].ravel()[:2], [9, 3])


@pytest.mark.parametrize("count", ["inputs", "outputs"])
def test_a_network_takes_pictures_and_gives_one_vector_each(ready: Coldframe, tmp_path: Path, count: str) -> None:
    keras = load_keras()
    one, two = (keras.Input((8, 6, 3)) for _ in range(2))
    vectors = keras.layers.GlobalAveragePooling2D()(one if count == "outputs" else keras.layers.Add()([one, two]))
    network = keras.Model(one, [vectors, vectors]) if count == "outputs" else keras.Model([one, two], vectors)
    network.save(tmp_path / "two.keras")
    said = ready("embed", "mobilenet", "--weights", tmp_path / "two.keras", "--size", "8x6", code=1).stderr
    assert ("expected one vector a picture" if count == "outputs" else "takes 2 inputs, expected one") in said


CLAIMS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "words": (
        "config.json",
        lambda said: said["text_config"].update(vocab_size=40_000_000),
        "vocab_size = 40000000 is too",
    ),
    "width": ("config.json", lambda said: said.update(projection_dim=1_500_000), "config.json describes .* numbers"),
    "layers": (
        "config.json",
        lambda said: said["vision_config"].update(num_hidden_layers=10**6),
        "num_hidden_layers = 1000000 is too",
    ),
    "size": (
        "preprocessor_config.json",
        lambda said: said.update(size={"shortest_edge": 9000}),
        "shortest_edge = 9000, exp",
    ),
    "crop": (
        "preprocessor_config.json",
        lambda said: said.update(crop_size={"height": 15000, "width": 8}),
        "height = 15000, expected at most 2048",
    ),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_settings_that_claim_more_than_there_is_are_refused(tiny: Path, tmp_path: Path, kind: str) -> None:
    file, change, expected = CLAIMS[kind]
    folder = changed(tiny, tmp_path / "claims", file, change)
    with pytest.raises(ColdframeError, match=expected):
        read_everything(folder)


@pytest.mark.parametrize(
    "source", [{"size": [100_000, 100_000]}, {"size": [0, 5]}, {"seed": -1}, {"seed": 2**40}, {"seed": True}]
)
def test_what_a_store_names_is_within_limits(source: dict[str, Any]) -> None:
    with pytest.raises(ColdframeError, match="the store names"):
        Options.from_json(source)


def test_a_batch_of_pictures_is_small_before_it_is_there() -> None:
    with pytest.raises(ColdframeError, match=r"pictures of 8192x8192, 32 at a time, take 25\.8 GB, expected at most"):
        embedders.load("mobilenet-v3-small", Options("random", (8192, 8192)))


@pytest.mark.parametrize("side", [10**9, 3 * 10**8])
def test_what_a_layer_says_it_was_given_is_not_believed(held: Held, tmp_path: Path, side: int) -> None:
    def claim(described: Config) -> None:
        layer(described, "vectors").update(
            thing("keras.layers", "Normalization", name="vectors", mean=0.0, variance=1.0, axis=-1),
            build_config={"input_shape": [None, side]},
        )

    (tmp_path / "network.keras").write_bytes(described(held, claim))
    with little_memory():
        given = networks.opened(tmp_path / "network.keras")(np.zeros((2, 8, 6, 3), np.uint8))
    assert given.shape == (2, 3)


def test_a_record_of_a_large_archive_without_its_signature_counts_for_nobody() -> None:
    """Python and torch then look for the list of members in different places."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", b"x")
    data = file.getvalue()
    end = len(data) - 22
    size, begin = struct.unpack("<2L", data[end + 12 : end + 20])
    for signature in (b"PK\6\6", b"\0\0\0\0"):
        record = signature + bytes(36) + struct.pack("<2Q", size, begin)
        large = data[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + data[end:]
        with nullcontext() if any(signature) else pytest.raises(ColdframeError, match="it is no archive"):
            arrays._check_ends(io.BytesIO(large), len(large))
