"""Nothing is sent anywhere: what our processes look up, connect to and write is recorded below Python, by ``support/watch.c``.

Each process has a home folder and a folder for temporary files of its own, in which it may leave nothing.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.runtime import openvino, quiet
from tests.support import backbones, tiny_clip
from tests.support.coldframe import REPOSITORY, drawn, environment

pytestmark = [pytest.mark.slow, pytest.mark.variants]

COMPILER = shutil.which("cc") or shutil.which("gcc")
SOURCE = REPOSITORY / "tests" / "support" / "watch.c"
# A person's own, and whatever else would hide what libraries do by default.
UNSET = ("XDG_", "HF_", "ORT_", "KERAS_", "TORCHINDUCTOR_", "COLDFRAME_", "DO_NOT_TRACK", "DISABLE_", "CI", "OPENVINO_")
SIZE = ("--weights", "random", "--size", "32x32")
BACKBONE = backbones.NAME

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler to make the recorder with")
needs_onnx = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="the extra onnx is not installed")
needs_openvino = pytest.mark.skipif(not openvino.installed(), reason="openvino is not installed")


@dataclass(frozen=True)
class Seen:
    """What a process did, and what it left in its folders."""

    sent: list[str]
    written: list[str]
    left: list[str]
    output: str

    def is_nothing(self) -> bool:
        """Whether it sent nothing and left nothing; what it wrote and removed again is told where it did more."""
        assert not self.sent, f"{self.sent}\n{self.written}"
        assert not self.left, f"{self.left}\n{self.written}"
        return True


class Watched:
    """Runs processes and records what they do. All share a store and a cache of converted networks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._runs = folder, 0
        self.recorder = folder / "watch.so"
        assert COMPILER is not None
        command = [COMPILER, "-shared", "-fPIC", "-o", str(self.recorder), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)

    def new_folders(self) -> Path:
        """A folder with an empty ``home`` and ``tmp``, for the next process."""
        self._runs += 1
        base = self.folder / f"run-{self._runs}"
        for name in ("home", "tmp", "elsewhere"):
            (base / name).mkdir(parents=True)
        return base

    def python(
        self, *arguments: object, base: Path | None = None, code: int = 0, more: Mapping[str, str] | None = None
    ) -> Seen:
        """Run Python, with the folders of ``base``, or new ones."""
        base = base or self.new_folders()
        log = base / "log"
        before = _names(base)
        kept = {name: value for name, value in environment().items() if not name.startswith(UNSET)}
        mine = {"HOME": base / "home", "TMPDIR": base / "tmp", "COLDFRAME_CACHE": self.folder / "cache"}
        watching = {"LD_PRELOAD": self.recorder, "COLDFRAME_TEST_WATCH": log}
        done = subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=base / "elsewhere",
            env=kept | {name: str(value) for name, value in (mine | watching).items()} | dict(more or {}),
        )
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return Seen(
            sent=[line for line in lines if not line.startswith("write ")],
            written=[line for line in lines if line.startswith(f"write {base}")],
            left=[name for name in _names(base) if name not in before],
            output=done.stdout + done.stderr,
        )

    def coldframe(
        self, *arguments: object, base: Path | None = None, code: int = 0, more: Mapping[str, str] | None = None
    ) -> Seen:
        """Run a command on the store."""
        store = self.folder / "store"
        return self.python("-m", "pipeline", "-s", store, *arguments, base=base, code=code, more=more)


def _names(base: Path) -> list[str]:
    return sorted(str(path.relative_to(base)) for name in ("home", "tmp") for path in (base / name).rglob("*"))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A recorder, and an empty folder for a store."""
    return Watched(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def trained(watched: Watched) -> Watched:
    """A store with a head on a feature set that OpenVINO made with a cold cache, by processes that were watched."""
    catalogue = drawn(watched.folder / "catalogue", per_class=4)
    commands: list[tuple[object, ...]] = [
        ("ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id"),
        ("embed", BACKBONE, *SIZE, "--backend", "openvino" if openvino.installed() else "tensorflow"),
        ("split", "test", "0.25"),
        ("train", "--head", "linear", "--epochs", "1"),
    ]
    for command in commands:
        assert watched.coldframe(*command).is_nothing(), command
    return watched


@needs_compiler
def test_the_recorder_sees_what_a_process_does(watched: Watched) -> None:
    code = (
        "import os, pathlib, socket, subprocess, sys, tempfile\n"
        "home = pathlib.Path.home(); (home / 'made').mkdir(); (home / 'made' / 'file').write_text('x')\n"
        "os.symlink('/nowhere', home / 'link'); tempfile.mkstemp()\n"
        "child = 'import socket; socket.getaddrinfo(\"localhost\", 80)'\n"
        "subprocess.run([sys.executable, '-c', child])\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.connect(('127.0.0.1', 9))\n"
    )
    seen = watched.python("-c", code)
    assert [line.split()[0] for line in seen.sent] == ["lookup", "connect"]
    assert seen.sent[0] == "lookup localhost"
    for name in ("made", "made/file", "link"):
        assert any(line.endswith(f"/home/{name}") for line in seen.written), (name, seen.written)
    assert {"home/made", "home/made/file", "home/link"} < set(seen.left)
    assert sum(name.startswith("tmp/") for name in seen.left) == 1
    with pytest.raises(AssertionError):
        seen.is_nothing()


@pytest.mark.exhaustive
@needs_compiler
def test_libraries_imported_by_us_send_nothing_whatever_the_variables_say(watched: Watched) -> None:
    """As in somebody else's process: without the command line, and with nothing changed beside the switches."""
    present = [name for name in quiet.LIBRARIES if find_spec(name) is not None and name != "tf2onnx"]
    code = (
        "import os\n"
        "before = dict(os.environ)\n"
        "from pipeline.runtime import quiet\n"
        f"for name in {present}: quiet.load(name)\n"
        "quiet.load('transformers', 'CLIPModel', 'AutoTokenizer', 'CLIPImageProcessorPil')\n"
        "changed = {name for name in before | os.environ if before.get(name) != os.environ.get(name)}\n"
        # which torch and Keras on it set themselves
        "changed -= {'KMP_DUPLICATE_LIB_OK', 'KMP_INIT_AT_FORK', 'TF_FORCE_GPU_ALLOW_GROWTH', 'TF2_BEHAVIOR'}\n"
        "assert changed == set(quiet.SWITCHES), changed\n"
        "assert set(quiet.SWITCHES.values()) == {os.environ[name] for name in quiet.SWITCHES}\n"
        "from huggingface_hub import constants\n"
        "assert constants.HF_HUB_DISABLE_TELEMETRY\n"
        "from keras.src.backend import config\n"
        "print(config.keras_home())\n"
    )
    if "openvino" in present:
        code += "import openvino.tools.ovc.convert_impl as one; assert one.tm.__name__.endswith('telemetry_stub')\n"
    base, against = watched.new_folders(), dict.fromkeys(quiet.SWITCHES, "0")
    more = against | {"PYTHONPATH": str(REPOSITORY), "KERAS_BACKEND": "torch"}
    seen = watched.python("-c", code, base=base, more=more)
    assert seen.is_nothing()
    assert seen.output.split() == [f"{base}/home/.keras"]  # where weights that were downloaded before are


@needs_compiler
@needs_openvino
def test_openvino_that_was_imported_before_us_is_told_as_well(watched: Watched) -> None:
    code = (
        "import sys, types\n"
        "import openvino\n"
        "from pipeline.runtime import quiet\n"
        "quiet.load('openvino')\n"
        "import openvino_telemetry\n"  # which another library of that process may use
        "from openvino.tools.ovc import convert_impl, telemetry_utils\n"
        "assert {convert_impl.tm, telemetry_utils.tm} == {sys.modules['openvino.tools.ovc.telemetry_stub']}\n"
    )
    watched.python("-c", code, more={"PYTHONPATH": str(REPOSITORY)})


def test_no_settings_file_of_keras_is_read_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with quiet._without_settings_file():
        assert os.environ["KERAS_HOME"] == os.devnull
    assert os.environ["KERAS_HOME"] == str(tmp_path)
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    with quiet._without_settings_file():
        assert os.environ["KERAS_HOME"] == os.devnull


@pytest.mark.exhaustive
@needs_compiler
def test_making_a_feature_set_and_a_head_sends_nothing(trained: Watched) -> None:
    seen = trained.coldframe("sql", "select count(*) as vectors from embeddings", "--format", "csv")
    assert seen.is_nothing()
    assert seen.output.split() == ["vectors", "12"]


@pytest.mark.exhaustive
@needs_compiler
@pytest.mark.parametrize(
    "form", [pytest.param("onnx", marks=needs_onnx), pytest.param("openvino", marks=needs_openvino)]
)
def test_exporting_and_predicting_send_nothing(trained: Watched, form: str) -> None:
    artefact = trained.folder / form
    assert trained.coldframe("export", "--format", form, "--output", artefact).is_nothing()
    photo = next((trained.folder / "catalogue").rglob("*.png"))
    base = trained.new_folders()
    victim = base / "victim"
    victim.write_text("as it was")
    (base / "tmp" / ".ses").symlink_to(victim)  # where the telemetry of ONNX Runtime writes
    against = dict.fromkeys(quiet.SWITCHES, "0")
    assert trained.coldframe("predict", artefact, photo, base=base, more=against).is_nothing()
    assert victim.read_text() == "as it was"
    code = (
        "import sys\n"
        "from pipeline.deploy.predict import open_model\n"
        "from pipeline.deploy.sources import expand\n"
        "print(next(iter(open_model(sys.argv[1]).predict(expand([sys.argv[2]])))))\n"
    )
    seen = trained.python("-c", code, artefact, photo, base=base, more={"PYTHONPATH": str(REPOSITORY)})
    assert seen.is_nothing()
    assert victim.read_text() == "as it was"


@pytest.mark.exhaustive
@needs_compiler
def test_clip_sends_nothing(trained: Watched) -> None:
    weights = tiny_clip.save(trained.folder / "tiny")
    assert trained.coldframe("embed", "clip", "--weights", weights, "--backend", "torch").is_nothing()


def test_only_one_module_imports_what_has_to_be_told_first() -> None:
    """An import of Keras' submodules comes after :func:`pipeline.runtime.frameworks.load_keras`, which goes through it."""
    for file in sorted((REPOSITORY / "pipeline").rglob("*.py")):
        if file.name == "quiet.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
                names = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            for name in names:
                top, _, below = name.partition(".")
                is_keras_within = top == "keras" and below
                assert top not in quiet.LIBRARIES or is_keras_within, f"{file}: use quiet.load({top!r})"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_every_place_where_openvino_asks_for_its_telemetry_can_do_without() -> None:
    """Our way to switch it off is that it cannot be imported."""
    if not openvino.installed():
        pytest.skip("openvino is not installed")
    spec = find_spec("openvino")
    assert spec is not None
    assert spec.origin is not None
    asked = 0
    for file in Path(spec.origin).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "openvino_telemetry" not in text:
            continue
        asked += 1
        tree = ast.parse(text)
        guarded = [part for node in ast.walk(tree) if isinstance(node, ast.Try) for part in node.body]
        inside = {id(node) for part in guarded for node in ast.walk(part)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and "openvino_telemetry" in ast.dump(node):
                assert id(node) in inside, file
    assert asked
