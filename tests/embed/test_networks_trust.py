"""Networks of strangers: HDF5 unfolds nothing, what computes otherwise is another network, and a wrong file is one sentence."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embed import architecture, embedders, tokenizing
from pipeline.embed.embedders import Options, keras_applications
from pipeline.runtime import hdf5, keras_files, openvino
from pipeline.runtime.frameworks import load_keras
from store import digests
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from tests.support import artefacts, small_network, tiny_clip
from tests.support.artefacts import packed
from tests.support.coldframe import Coldframe, picture

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow, pytest.mark.variants]

SIZE = (8, 6)
SMALL = ("--size", "8x6")
needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="openvino is not installed")


# What HDF5 would unfold.


def h5(make: Callable[[Any], object], **how: Any) -> bytes:
    """An HDF5 file."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **how) as file:
        make(file)
    return buffer.getvalue()


def names_compressed() -> bytes:
    """A file of less than a MB in which names of 40 MB are compressed."""
    import h5py

    def make(file: Any) -> None:
        how = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
        filters = h5py.h5p.PropDCID(how.id)  # h5py has filters for arrays alone
        filters.locked = True
        filters.set_deflate(9)
        group = h5py.Group(h5py.h5g.create(file.id, b"layers", gcpl=how))
        for number in range(40):
            group.create_group(f"{number:03}" + "x" * 1_000_000)

    data = h5(make, libver="latest")
    assert len(data) < 1_000_000
    return data


def one_name_for_many() -> bytes:
    """1,500 names that are one text of a MB."""

    def make(file: Any) -> None:
        file.create_group("x" * 1_000_000)
        for number in range(1500):
            file[f"y{number}"] = file["/"]

    data = bytearray(h5(make))
    places: list[int] = []
    at = data.find(b"SNOD")
    while at >= 0:
        (count,) = struct.unpack_from("<H", data, at + 6)
        places += [at + 8 + 40 * number for number in range(count)]
        at = data.find(b"SNOD", at + 1)
    (long,) = struct.unpack_from("<Q", data, places[0])
    for place in places:
        struct.pack_into("<Q", data, place, long)
    return bytes(data)


def many_names(file: Any) -> None:
    for number in range(20):
        file.create_group(f"layers/{number}")


def many_attributes(file: Any) -> None:
    file.create_group("layers").attrs.update({str(number): "x" for number in range(20)})


def deep(file: Any) -> None:
    for _ in range(2500):
        file = file.create_group("x")


def of_a_type_elsewhere(file: Any) -> None:
    import h5py

    kind = h5py.h5t.py_create(np.dtype("f4"))
    kind.commit(file.id, b"kind")
    h5py.Dataset(h5py.h5d.create(file.id, b"array", kind, h5py.h5s.create_simple((3,))))[...] = 1
    del file["kind"]


def with_attributes(place: str, count: int) -> Callable[[Any], None]:
    """A file in which a group or an array has so many attributes."""

    def make(file: Any) -> None:
        file["group/array"] = np.zeros(3, "f4")
        for number in range(count):
            file[place].attrs[str(number)] = 1.0

    return make


def with_attributes_of(kind: Any, place: str, *, elsewhere: bool) -> Callable[[Any], None]:
    """A file in which a group or an array has attributes of a type, which may be one object for all of them."""

    def make(file: Any) -> None:
        import h5py

        file["group/array"] = np.zeros(3, "f4")
        of = h5py.h5t.py_create(np.dtype(kind), logical=True)
        if elsewhere:
            of.commit(file.id, b"kind")
        for number in range(20):
            h5py.h5a.create(file[place].id, str(number).encode(), of, h5py.h5s.create(h5py.h5s.SCALAR))
        if elsewhere:
            del file["kind"]

    return make


def many_words(file: Any) -> None:
    import h5py

    file.create_dataset("array", (3,), h5py.enum_dtype({str(number): number for number in range(200)}))


def lists_for_a_type(file: Any) -> None:
    import h5py

    file["array"] = np.zeros(3, "f4")
    kind = h5py.h5t.vlen_create(h5py.h5t.vlen_create(h5py.h5t.NATIVE_INT32))
    h5py.h5a.create(file["array"].id, b"dtype", kind, h5py.h5s.create(h5py.h5s.SCALAR))


def earlier_types(file: Any) -> None:
    file.attrs["layer_names"] = np.zeros(3)


UNFOLDING: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed names": (names_compressed, "'layers' in it is compressed"),
    "names outside of the header": (lambda: h5(many_names, libver="latest"), "'layers' in it is kept in a way"),
    "attributes outside of the header": (lambda: h5(many_attributes, libver="latest"), "'layers' in it is kept in a way"),
    "one name for many": (one_name_for_many, "its names have more bytes than it has"),
    "a long way": (lambda: h5(deep), "a name that Keras never writes"),
    "a long name": (lambda: h5(lambda file: file.create_group("x" * 5000)), "a name that Keras never writes"),
    "a type that is elsewhere": (lambda: h5(of_a_type_elsewhere), "'array' in it lies elsewhere"),
    "a list for a type": (lambda: h5(lists_for_a_type), "'array' in it has an attribute of a type that Keras never"),
    "a type of many words": (lambda: h5(many_words), "'array' in it holds no numbers"),
    "many attributes of the whole": (lambda: h5(with_attributes("/", 101)), "the whole has more than 100 attributes"),
    "many attributes of a group": (lambda: h5(with_attributes("group", 101)), "'group' in it has more than 100 attributes"),
    "many attributes of an array": (
        lambda: h5(with_attributes("group/array", 2000)), "'array' in it has more than 100 attributes",
    ),
    **{
        f"attributes of one type, {kind}, of {place}": (
            partial(h5, with_attributes_of(kind, place, elsewhere=True)), "an attribute of a type",
        )
        for kind in ("f4", "S9", "f4,f4")
        for place in ("/", "group", "group/array")
    },
    "attributes of records": (
        lambda: h5(with_attributes_of("f4,f4", "group", elsewhere=False)), "'group' in it has an attribute of a type that Keras",
    ),
    "attributes of arrays": (
        lambda: h5(with_attributes_of(("f4", (9,)), "group", elsewhere=False)), "'group' in it has an attribute of a type that",
    ),
    "something before the file": (lambda: h5(many_names, userblock_size=512), "it is no HDF5 file"),
    "lists of what is free": (
        lambda: h5(many_names, fs_strategy="page", fs_persist=True), "it begins in a way that Keras never writes",
    ),
}  # fmt: skip


def refused(data: bytes, name: str, tmp_path: Path) -> str:
    """Why weights are not loaded."""
    network = artefacts.network()
    held = artefacts.members(network, tmp_path) | {keras_files.WEIGHTS: data}

    def load() -> None:
        if name.endswith(".keras"):
            keras_files.load_network(io.BytesIO(packed(held.items())))
        else:
            keras_files.load_weights(network, io.BytesIO(data), name)

    with pytest.raises(keras_files.Unfit) as found:
        load()
    return str(found.value)


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5", "x.h5"])
@pytest.mark.parametrize("kind", UNFOLDING)
def test_what_hdf5_would_unfold_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    make, said = UNFOLDING[kind]
    assert said in refused(make(), name, tmp_path)


def test_attributes_of_plain_types_are_taken(tmp_path: Path) -> None:
    import h5py

    for kind in ("f4", "i8", "S9", h5py.string_dtype()):
        (tmp_path / "x.h5").write_bytes(h5(with_attributes_of(kind, "group/array", elsewhere=False)))
        assert hdf5.count_values(tmp_path / "x.h5") == 3
    (tmp_path / "x.h5").write_bytes(h5(with_attributes("group", 100)))
    assert hdf5.count_values(tmp_path / "x.h5") == 3


def test_lists_of_names_are_texts(tmp_path: Path) -> None:
    assert "the layer_names of '/' in it are no text" in refused(h5(earlier_types), "x.h5", tmp_path)


def test_a_file_is_looked_through_in_a_process_with_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_files, "NAMES_SECONDS", 0.0)
    for name in ("x.keras", "x.weights.h5", "x.h5"):
        assert "take more memory or time than they may" in refused(h5(many_names), name, tmp_path)


def test_names_are_counted_before_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many.h5").write_bytes(h5(many_names))
    monkeypatch.setattr(hdf5, "MOST_OBJECTS", 10)
    with pytest.raises(hdf5.Unfit, match="it holds more than 10 objects"):
        hdf5.count_values(tmp_path / "many.h5")


@pytest.mark.parametrize("how", [{}, {"libver": "latest"}, {"libver": "latest", "track_order": True}])
def test_what_others_write_plainly_is_taken(how: dict[str, Any], tmp_path: Path) -> None:
    import h5py

    network, other = artefacts.network(), artefacts.network()
    network.save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5") as file:

        def copy(to: Any) -> None:
            def put(name: str, one: Any) -> None:
                if isinstance(one, h5py.Dataset):
                    to[name] = one[()]
                else:
                    to.create_group(name).attrs.update(one.attrs)

            file.visititems(put)

        data = h5(copy, **how)
    keras_files.load_weights(other, io.BytesIO(data), "x.weights.h5")
    assert all(np.array_equal(*both) for both in zip(network.get_weights(), other.get_weights(), strict=True))


# Networks that have the same weights and compute otherwise.


def network(kind: str = "plain", precision: str = "float32") -> Any:
    """A small network; its kinds differ only in a type of numbers, and have the same weights."""
    keras = load_keras()
    layers = keras.layers
    other = "bfloat16" if kind != "plain" else "float32"
    pictures = at = keras.Input((*SIZE, 3), dtype=other if kind == "input" else "float32", name="pictures")
    at = keras.ops.cast(at, other if kind == "operation" else "float32")
    at = at + keras.ops.convert_to_tensor(np.ones(3), other if kind == "constant" else "float32")
    within = keras.Input((*SIZE, 3), dtype=other if kind == "within" else "float32")
    at = keras.Model(within, layers.Rescaling(1.0, dtype=precision)(within))(at)
    at = layers.GlobalAveragePooling2D(dtype=precision, autocast=kind != "autocast")(at)
    found = keras.Model(pictures, layers.Dense(4, dtype=precision, name="vectors")(at))
    found.set_weights([np.arange(12, dtype=np.float32).reshape(3, 4) / 7, np.ones(4, np.float32)])
    return found


@pytest.mark.parametrize("exactly", [False, True])
@pytest.mark.parametrize("kind", ["input", "operation", "constant", "within", "autocast"])
def test_a_type_of_numbers_makes_another_network(kind: str, exactly: bool) -> None:
    plain = architecture.of_keras(network(), exactly=exactly)
    assert architecture.differ(plain, architecture.of_keras(network(kind), exactly=exactly))
    assert not architecture.differ(plain, architecture.of_keras(network(), exactly=exactly))


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Let layers that say nothing else compute in this precision."""
    keras = load_keras()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_precisions(*precisions: str | None) -> Any:
    """A network whose layers without weights compute in these; None for that of the process."""
    keras = load_keras()
    pictures = keras.Input((*SIZE, 3), dtype="float32")
    within = keras.Input((*SIZE, 3), dtype="float32")
    at = keras.Sequential([within, keras.layers.Rescaling(1.0, dtype=precisions[0])])(pictures)
    for one in precisions[1:]:
        at = keras.layers.Rescaling(1.0, offset=2.0**20, dtype=one)(at)
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D(dtype=precisions[-1])(at))


@pytest.mark.parametrize("exactly", [False, True])
def test_the_precision_of_a_layer_makes_another_network(exactly: bool) -> None:
    ways = ("float32", "bfloat16", "mixed_bfloat16")
    told = {architecture.of_keras(in_precisions(*way), exactly=exactly) for way in itertools.product(ways, repeat=3)}
    assert len(told) == 27


def test_the_precision_of_the_process_makes_no_other_network() -> None:
    one = in_precisions(None, None, None)
    with computing_in("mixed_bfloat16"):
        other = in_precisions(None, None, None)
        told, exactly = architecture.of_keras(other), architecture.of_keras(other, exactly=True)
    assert told == architecture.of_keras(one)
    assert exactly != architecture.of_keras(one, exactly=True)


@pytest.mark.parametrize("way", [("float32",) * 3, ("mixed_bfloat16",) * 3, ("float32", "mixed_bfloat16", "float32")])
def test_a_file_is_the_same_network_in_whatever_precision_the_process_computes(way: Any, tmp_path: Path) -> None:
    in_precisions(*way).save(tmp_path / "network.keras")
    batch = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)

    def loaded(precision: str) -> Any:
        with computing_in("float32"):
            options = Options(str(tmp_path / "network.keras"), SIZE, backend="torch", precision=precision)
            made = embedders.load("mobilenet", options)
        return made.architecture, made.embed(list(batch)).tolist()

    assert loaded("float32") == loaded("bfloat16")


def test_a_network_with_networks_in_it_is_the_same_on_a_gpu() -> None:
    keras = load_keras()

    def convnext(policy: str) -> str:
        with computing_in(policy), keras.device("meta"):  # without weights, which would take their time
            made = keras.applications.ConvNeXtTiny(weights=None, include_top=False, input_shape=(32, 32, 3))
            return architecture.of_keras(made)

    assert convnext("float32") == convnext("mixed_bfloat16")


def test_a_short_digest_that_a_set_remembers_still_compares() -> None:
    said = architecture.of_description("keras", "3.1", {"a": 1}, ["float32"])
    assert len(said.split()[-1]) >= 64
    short = f"keras 3.1 {digests.of_json({'a': 1})}"  # as earlier versions of coldframe wrote it
    assert not architecture.differ(short, said)
    assert not architecture.differ(said, short)
    assert architecture.differ(f"keras 3.1 {digests.of_json({'a': 2})}", said)
    assert architecture.differ(said, architecture.of_description("keras", "3.1", {"a": 1}, ["bfloat16"]))
    for begun in (said[:-1], "keras 3.1 ", said[:20]):  # nothing that was ever written
        assert architecture.differ(begun, said)
    for unknown in (None, "", short.replace("3.1", "3.2")):
        assert not architecture.differ(unknown, said)


def remember(cf: Coldframe, change: Callable[[str], str]) -> None:
    """Have the set ``mine`` remember its architecture otherwise."""
    import pyarrow as pa

    row = cf.store.snapshot().rows("steps/embed/feature_set", embedder="mine")[0]
    source = json.loads(row["source"])
    row["source"] = json.dumps(source | {"architecture": change(source["architecture"])})
    with cf.store.commit("embed") as commit:
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key="mine")


def settle(cf: Coldframe, **settings: Any) -> None:
    """Have the set ``mine`` say other settings, or none for those that are None."""
    import pyarrow as pa

    row = cf.store.snapshot().rows("steps/embed/feature_set", embedder="mine")[0]
    said = json.loads(row["settings"]) | settings
    row["settings"] = json.dumps({key: value for key, value in said.items() if value is not None})
    with cf.store.commit("embed") as commit:
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key="mine")


def test_a_set_of_an_earlier_version_goes_on(ready: Coldframe, tmp_path: Path) -> None:
    network().save(tmp_path / "plain.keras")
    network("operation").save(tmp_path / "other.keras")
    asked = ("embed", "mobilenet", "--as", "mine", *SMALL, "--weights")
    ready(*asked, tmp_path / "plain.keras", "--limit", 3)
    assert "computes something else" in ready(*asked, tmp_path / "other.keras", code=1).stderr
    library = len("keras ") + len(load_keras().__version__) + 1
    remember(ready, lambda said: said[: library + digests.SHORT])
    ready("verify", "--recompute", 1, "--embedder", "mine")
    assert "3 cached, 21 embedded" in ready(*asked, tmp_path / "plain.keras").stderr
    remember(ready, lambda said: said[:library] + "0" * digests.SHORT)
    assert "computes something else" in ready(*asked, tmp_path / "plain.keras", code=1).stderr


@needs_openvino
@pytest.mark.exhaustive
def test_a_converted_network_is_that_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    batch = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)

    def vectors(kind: str) -> Any:
        network(kind).save(tmp_path / f"{kind}.keras")
        options = Options(str(tmp_path / f"{kind}.keras"), SIZE, backend=openvino.NAME, precision="float32")
        return embedders.load("mobilenet", options).embed(list(batch))

    with pytest.raises(openvino.NotConverted):  # what OpenVINO cannot compute is not kept for another
        vectors("operation")
    assert not list((tmp_path / "cache" / "networks").iterdir())
    expected = network().predict_on_batch(batch.astype(np.float32) / 127.5 - 1)
    assert np.allclose(vectors("plain"), expected, atol=1e-3)
    kept = list((tmp_path / "cache" / "networks").iterdir())
    assert [len(one.name) for one in kept] == [64]
    with pytest.raises(openvino.NotConverted):
        vectors("within")
    assert list((tmp_path / "cache" / "networks").iterdir()) == kept


def in_both_layouts(file: Path) -> tuple[Any, Any]:
    """Write a file of weights in both layouts; the networks of which they are."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    made = []
    for seed in (1, 2):
        load_keras().utils.set_random_seed(seed)
        made.append(keras_applications.backbone("mobilenet", weights="random", size=(32, 32), seed=seed))
    made[0].save_weights(file)
    with h5py.File(file, "r+") as opened:
        legacy_h5_format.save_weights_to_hdf5_group(opened, made[1])
    return made[0], made[1]


@needs_openvino
@pytest.mark.exhaustive
def test_a_file_read_in_another_way_is_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    networks = dict(zip((".weights.h5", ".h5"), in_both_layouts(tmp_path / "both.weights.h5"), strict=True))
    (tmp_path / "both.h5").write_bytes((tmp_path / "both.weights.h5").read_bytes())
    for ending, made in networks.items():
        options = Options(str(tmp_path / f"both{ending}"), (32, 32), backend=openvino.NAME, precision="float32")
        found = embedders.load("mobilenet", options).settings["weights"]
        assert found == embedders.weights_digest(made.get_weights())


def test_what_a_file_holds_is_known_by_how_it_is_read(tmp_path: Path) -> None:
    known = set()
    for ending in (".keras", ".weights.h5", ".h5"):
        (tmp_path / f"same{ending}").write_bytes(b"the same bytes")
        known.add(keras_applications._source("mobilenet", str(tmp_path / f"same{ending}"), True))
    assert len(known) == 3


@needs_openvino
def test_what_cannot_be_compiled_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    found = openvino.converted(small_network.load, source={"a": 1}, kind="small")
    assert found.network("float32")(np.ones((4, 3), np.float32)).shape == (4, 1)
    core = type("Core", (), {"read_model": lambda *given: (_ for _ in ()).throw(RuntimeError("no such\noperation"))})
    with monkeypatch.context() as patch:
        patch.setattr("openvino.Core", core)
        with pytest.raises(openvino.NotConverted, match=r"cannot compute this network \(no such operation"):
            found.network("float32")
    assert not found.file.parent.exists()
    assert openvino.converted(small_network.load, source={"a": 1}, kind="small").file.exists()


# A wrong file, or a wrong row, is one sentence.


def without_length(keras: Any) -> Any:
    pictures = keras.Input((None, None, 3))
    return keras.Model(pictures, keras.layers.Flatten()(keras.layers.Conv2D(1, 1)(pictures)))


def with_names(keras: Any) -> Any:
    pictures = keras.Input((*SIZE, 3))
    return keras.Model(pictures, {"a": keras.layers.GlobalAveragePooling2D()(pictures)})


WRONG: dict[Callable[[Any], Any], str] = {
    without_length: r"gives outputs of shape \(None,\), expected one vector a picture, of a known length",
    with_names: r"gives outputs of shape \(3,\) by name, expected one vector a picture",
}


@pytest.mark.parametrize("make", WRONG, ids=lambda one: one.__name__)
def test_a_network_that_gives_no_vectors_of_one_length(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    make(load_keras()).save(tmp_path / "network.keras")
    with pytest.raises(ColdframeError, match=WRONG[make]):
        embedders.load("mobilenet", Options(str(tmp_path / "network.keras"), SIZE))


def test_a_network_that_no_backend_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = embedders.load("mobilenet", Options("random", (32, 32)))

    def refuse(*given: object) -> None:
        raise NotImplementedError("Layer Conv2D does not have\na `_float8_call` method")

    monkeypatch.setattr(load_keras().Model, "predict_on_batch", refuse)
    with pytest.raises(
        ColdframeError, match=r"mobilenet: the network of random cannot compute pictures \(Layer Conv2D does"
    ):
        one.embed([np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.parametrize("precision", ["x", "f64", ["float32"], 3])
@pytest.mark.parametrize("name", ["mobilenet", "clip"])
@pytest.mark.parametrize("backend", ["torch", pytest.param(openvino.NAME, marks=needs_openvino)])
def test_a_precision_that_there_is_not(name: str, precision: Any, backend: str) -> None:
    with pytest.raises(ColdframeError, match=r"the feature set was made in precision .* expected float32 or bfloat16"):
        embedders.load(name, Options("random", None, backend=backend, precision=precision))


def test_a_set_without_a_size(ready: Coldframe) -> None:
    ready("embed", "mobilenet", "--as", "mine", "--weights", "random", "--size", "32x32")
    ready("split", "test", 0.25)
    ready("train", "--head", "linear", "--embedder", "mine", "--epochs", 1)
    settle(ready, size=None)
    said = ready("export", "linear", "--output", "out", code=1).stderr
    assert "the settings of the feature set 'mine': its pictures are of no size" in said


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two one-layer towers, with tokenizer and processor."""
    return tiny_clip.save(tmp_path_factory.mktemp("clip") / "tiny")


def changed(tiny: Path, folder: Path, file: str, **settings: Any) -> Path:
    """A copy of the model in which one file of settings says something else."""
    folder.mkdir()
    for one in tiny.iterdir():
        os.link(one, folder / one.name)
    said = json.loads((folder / file).read_text())
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(said | settings))
    return folder


SENSELESS: list[dict[str, Any]] = [
    {"resample": 99},
    {"image_mean": [1]},
    {"image_mean": "x"},
    {"image_mean": [0.5] * 10_000},
    {"image_std": [0, 0, 0]},
    {"image_std": [float("nan")] * 3},
    {"rescale_factor": "x"},
    {"rescale_factor": {}},
    {"size": "x"},
    {"size": []},
    {"size": {"longest_edge": 32}},
    {"size": {"height": 32}},
    {"crop_size": "x"},
    {"do_center_crop": False},
    {"do_resize": "x", "size": 7.5},
]


@pytest.mark.parametrize(
    "settings", SENSELESS, ids=lambda one: " ".join(f"{key}={value}"[:30] for key, value in one.items())
)
def test_a_processor_that_makes_no_sense(tiny: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = changed(tiny, tmp_path / "wrong", "preprocessor_config.json", **settings)
    with pytest.raises(ColdframeError, match=r"clip: .*preprocessor") as found:
        embedders.load("clip", Options(str(folder)))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("settings", [{"model_max_length": one} for one in ("x", [1], -1, 1, 0, True)])
def test_a_tokenizer_that_makes_no_sense(tiny: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = changed(tiny, tmp_path / "wrong", "tokenizer_config.json", **settings)
    network = embedders.load("clip", Options(str(folder)))
    network.embed([network.prepare(picture("moth", 0))])
    with pytest.raises(ColdframeError, match=r"clip: .*(its tokenizer cannot read texts|not available)"):
        network.embed_texts(["a moth " * 90])  # type: ignore[attr-defined]


def _another_tokenizer(tiny: Path, folder: Path, **settings: Any) -> Any:
    """The network with other settings in its ``tokenizer.json``, which are read as they are."""
    changed(tiny, folder, "tokenizer_config.json", tokenizer_class="X")
    said = json.loads((folder / "tokenizer.json").read_text()) | settings
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(said))
    return embedders.load("clip", Options(str(folder)))


def test_a_tokenizer_that_panics(tiny: Path, tmp_path: Path) -> None:
    """An error of the library in Rust is no ``Exception``."""
    pattern = {"type": "Replace", "pattern": {"Regex": "(\\w+\\s?)+$"}, "content": ""}
    network = _another_tokenizer(tiny, tmp_path / "wrong", normalizer=pattern)
    with pytest.raises(ColdframeError, match=r"clip: .*its tokenizer cannot read texts"):
        network.embed_texts(["a" * 42 + "!"])


TWICE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
SIXTY = {"pattern": {"String": ""}, "content": "x" * 60}  # without its type, as in early versions
AGAIN = {"single": [{"Sequence": {"id": "A", "type_id": 0}}] * 60, "pair": [], "special_tokens": {}}
BOUNDLESS: dict[str, dict[str, Any]] = {
    "each letter twice, forty times": {"normalizer": {"type": "Sequence", "normalizers": [TWICE] * 40}},
    "steps without a type": {"normalizer": {"type": "Sequence", "normalizers": [SIXTY] * 6}},
    "the text again and again": {
        "post_processor": {"type": "Sequence", "processors": [{"type": "TemplateProcessing", **AGAIN}] * 9}
    },
    "pieces that are marked and taken apart": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                one
                for mark in "bcdefghijklmnopqrstuvwxyzABCDEFGHIJK"
                for one in (
                    {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
                    {"type": "Metaspace", "replacement": mark, "prepend_scheme": "always", "split": False},
                )
            ],
        }
    },
    "a table that says that it is large": {
        "normalizer": {
            "type": "Precompiled",
            "precompiled_charsmap": base64.b64encode(struct.pack("<I", 2**32 - 4) + b"abc").decode(),
        }
    },
    "a word of a million letters, each made sixty": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", **SIXTY}] * 2},
        "added_tokens": [
            {"id": 2, "content": "z" * 10**6, "normalized": True, "special": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        ],
    },
}


@pytest.mark.parametrize("settings", BOUNDLESS.values(), ids=BOUNDLESS)
def test_a_tokenizer_that_multiplies_texts(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """The library would end our process where the memory is not enough."""
    monkeypatch.setattr(tokenizing, "MEMORY", 1 << 30)
    network = _another_tokenizer(tiny, tmp_path / "wrong", **settings)
    with pytest.raises(ColdframeError, match=r"clip: .*(its tokenizer cannot read texts|not available)"):
        network.embed_texts(["a moth"])


def test_a_tokenizer_that_never_ends(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizing, "SECONDS", 2.0)
    steps = {"normalizer": {"type": "Sequence", "normalizers": [TWICE] * 31}}
    network = _another_tokenizer(tiny, tmp_path / "wrong", **steps)
    with pytest.raises(
        ColdframeError, match=r"its tokenizer cannot read texts \(it takes (longer than 2 s|more than )"
    ):
        network.embed_texts(["a moth"])


def test_another_file_that_settings_name_has_the_limits_too(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "MEMORY", 1 << 30)
    other = "tokenizer.4.0.0.json"
    folder = changed(
        tiny, tmp_path / "wrong", "tokenizer_config.json", tokenizer_class="X", fast_tokenizer_files=[other]
    )
    said = json.loads((folder / "tokenizer.json").read_text())
    (folder / other).write_text(json.dumps(said | BOUNDLESS["steps without a type"]))
    network = embedders.load("clip", Options(str(folder)))
    with pytest.raises(
        ColdframeError, match=r"its tokenizer cannot read texts \(it takes more than 1 GB of memory, or crashes"
    ):
        network.embed_texts(["a moth"])  # type: ignore[attr-defined]


def test_usual_steps_of_tokenizers_pass(tiny: Path, tmp_path: Path) -> None:
    steps = [
        {"type": "NFKC"},
        {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        {"type": "Prepend", "prepend": "\u2581"},
    ]
    network = _another_tokenizer(tiny, tmp_path / "usual", normalizer={"type": "Sequence", "normalizers": steps})
    assert network.embed_texts(["a moth", "a finch"]).shape == (2, network.dimensions)


def test_words_that_a_network_has_not(tiny: Path, tmp_path: Path) -> None:
    folder = changed(tiny, tmp_path / "wrong", "tokenizer.json", added_tokens=[])
    said = json.loads((folder / "tokenizer.json").read_text())
    said["model"]["vocab"] = {word: number + 1000 for word, number in said["model"]["vocab"].items()}
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(said))
    vocab = json.loads((folder / "vocab.json").read_text()) if (folder / "vocab.json").exists() else {}
    if vocab:
        (folder / "vocab.json").unlink()
        (folder / "vocab.json").write_text(json.dumps({word: number + 1000 for word, number in vocab.items()}))
    network = embedders.load("clip", Options(str(folder)))
    with pytest.raises(ColdframeError, match=r"clip: .*(words beyond the|not available|cannot read texts)"):
        network.embed_texts(["a moth"])  # type: ignore[attr-defined]


def test_the_type_of_an_array_is_a_word(tmp_path: Path) -> None:
    """It is read where reading has a limit: a text of a few bytes may claim to have billions."""
    import h5py

    file = tmp_path / "type.h5"
    for said, is_refused in (("bfloat16", False), ("x" * 100, True)):
        with h5py.File(file, "w") as made:
            made.create_dataset("kernel", data=np.zeros(3, np.float32)).attrs["dtype"] = said
        with pytest.raises(hdf5.Unfit, match="has no type") if is_refused else nullcontext():
            assert hdf5.count_values(file) == 3
