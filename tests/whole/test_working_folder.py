"""No process of ours imports from the working folder, whichever way it is started: a stranger's files may lie there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, environment

pytestmark = [pytest.mark.slow, pytest.mark.variants]

# Modules that our processes import early, late, only in a worker, or only if they are installed; and packages of our names.
STRAY = (
    "multiprocessing", "pickle", "socket", "subprocess", "numpy", "PIL", "click", "duckdb", "pyarrow", "fsspec", "tqdm",
    "imagehash", "scipy", "joblib", "filelock", "tomlkit", "pipeline", "store", "sql", "decoding", "simplejson", "openvino",
    "keras", "torch", "tensorflow", "resource", "json", "secrets", "tempfile", "sitecustomize", "usercustomize",
)  # fmt: skip


@pytest.fixture
def trapped(tmp_path: Path, catalogue: Catalogue) -> Path:
    """A folder of photographs with modules beside them that leave a mark when they are run."""
    folder = tmp_path / "dataset"
    shutil.copytree(catalogue.images, folder)
    for number, name in enumerate(STRAY):
        code = f"import pathlib; pathlib.Path({str(tmp_path / 'marks')!r}).open('a').write({name!r} + '\\n')\n"
        if number % 3:
            (folder / f"{name}.py").write_text(code)
        else:  # a package
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(code)
    return folder


def run(trapped: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process in the trapped folder; it works, and leaves no mark."""
    kept = {name: value for name, value in environment().items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=trapped, env=kept | variables, capture_output=True, text=True, check=False)
    marks = trapped.parent / "marks"
    assert not marks.exists(), f"{command}: imported {marks.read_text().split()} from the working folder"
    assert done.returncode == 0, done.stdout + done.stderr
    return done


SCRIPT = Path(sys.executable).with_name("coldframe")


@pytest.fixture
def known(trapped: Path) -> Path:
    """The trapped folder, with a store beside it that has its photographs."""
    Coldframe(trapped.parent / "s")("ingest", trapped)
    return trapped


@pytest.mark.exhaustive
@pytest.mark.parametrize("pythonpath", [None, "", ".", os.pathsep, "elsewhere"])
def test_the_console_script(trapped: Path, pythonpath: str | None) -> None:
    if pythonpath in (
        ".",
        os.pathsep,
    ):  # Python itself looks there before any line of ours is run: only what has its own names
        for name in (*STRAY[:4], *STRAY[5:-14], *STRAY[-6:]):
            remove(trapped, name)
    variables = {} if pythonpath is None else {"PYTHONPATH": pythonpath}
    run(trapped, str(SCRIPT), "-s", "../s", "ingest", ".", **variables)
    assert "24" in run(trapped, str(SCRIPT), "-s", "../s", "sql", "select count(*) from images", **variables).stdout


@pytest.mark.parametrize("below", [place for place in sys.path if place and not os.path.isabs(place)])
def test_a_folder_in_it_that_is_on_the_path(trapped: Path, below: str) -> None:
    """An editable install puts a name there that counts from it."""
    (trapped / below).mkdir()
    for name in STRAY:
        for path in (trapped / name, trapped / f"{name}.py"):
            if name in (
                "pipeline",
                "store",
                "sitecustomize",
                "usercustomize",
            ):  # Python itself looks there before any line of ours
                remove(trapped, name)
            elif path.exists():
                path.rename(trapped / below / path.name)
    run(trapped, str(SCRIPT), "-s", "../s", "ingest", ".")
    run(trapped, str(SCRIPT), "-s", "../s", "embed", "mean-colour")


def remove(folder: Path, name: str) -> None:
    """A stray module no more."""
    (folder / f"{name}.py").unlink(missing_ok=True)
    shutil.rmtree(folder / name, ignore_errors=True)


@pytest.mark.parametrize("flags", [["-P", "-m", "pipeline"], ["-I", "-m", "pipeline"], ["-m", "pipeline"]])
def test_python_m(trapped: Path, flags: list[str]) -> None:
    if flags == [
        "-m",
        "pipeline",
    ]:  # of which Python finds the first module in the working folder, before any line of ours
        for name in ("pipeline", "subprocess", "sitecustomize", "usercustomize"):
            remove(trapped, name)
    run(trapped, sys.executable, *flags, "-s", "../s", "ingest", ".")
    assert "24" in run(trapped, sys.executable, *flags, "-s", "../s", "sql", "select count(*) from images").stdout
    run(trapped, sys.executable, *flags, "-s", "../s", "embed", "mean-colour")


API = """
import sys
from pathlib import Path
from pipeline.ingest import ingest
from store.store import Store
settings = ingest.Settings(metadata=str(Path.cwd()), workers=2)
store = Store.create(Path("../s"))
print(ingest.ingest(store, settings, ingest.read(settings), quiet=True).ready)
# what this process itself imports later is its owner's business: the working folder is on its path, if at all, by its own will
print(store.snapshot().ask("select count(*) as n from images", {}).to_pylist())
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", ["a script elsewhere", "with the working folder behind", "without a guard"])
def test_python_of_ones_own(trapped: Path, tmp_path: Path, way: str) -> None:
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    begin = ""
    if (
        way == "with the working folder behind"
    ):  # then the script itself imports from there, what it finds nowhere before
        begin = "import sys, os; sys.path.append(os.getcwd())\n"
        remove(trapped, "pipeline")
        remove(trapped, "store")
    script.write_text(begin + API)
    said = run(trapped, sys.executable, str(script)).stdout
    assert said == "24\n[{'n': 24}]\n", "and the script is run once, though nothing guards it"


@pytest.mark.exhaustive
def test_a_network_is_converted_without_it(known: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    run(
        known,
        str(SCRIPT),
        *("-s", "../s", "embed", "mobilenet", "--weights", "random", "--size", "32x32", "--backend", "openvino"),
        COLDFRAME_CACHE=str(tmp_path / "cold"),
    )


# A library that leaves a mark when it is loaded. TensorFlow loads only what has such a string in it, and looks for it below
# the place that it takes for the program's: the first word of the command line.
LIBRARY = """
#include <stdio.h>
__attribute__((used)) const char platform[] = "\\0S\\\\s\\":^p*L}" "__SSE__=1";
__attribute__((constructor)) static void loaded(void) { FILE *file = fopen(MARK, "a"); fputs("library\\n", file); fclose(file); }
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")
FIRST_WORDS = ("pipeline", "pipeline.deploy.fresh_process", "worker", "store", "coldframe", "import sys")


@pytest.mark.exhaustive
@pytest.mark.skipif(COMPILER is None, reason="no C compiler to make the library with")
@pytest.mark.parametrize("way", ["the console script", "python -m", "recipe"])
def test_tensorflow_loads_no_library_from_it(known: Path, tmp_path: Path, way: str) -> None:
    made = tmp_path / "library.so"
    (tmp_path / "library.c").write_text(LIBRARY)
    mark = f'-DMARK="{tmp_path / "marks"}"'
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", mark, "-o", made, tmp_path / "library.c"], check=True)
    for name in STRAY:
        remove(known, name)
    for word in FIRST_WORDS:
        folder = known / word / "tensorflow" / "core" / "kernels"
        folder.mkdir(parents=True)
        shutil.copy(made, folder / "libtfkernel_stray.so")
    network = ("mobilenet", "--weights", "random", "--size", "32x32", "--backend", "tensorflow")
    if way == "recipe":
        (known / "coldframe.toml").write_text(
            'store = "../s"\n[embed.mobilenet]\nweights = "random"\nsize = "32x32"\nbackend = "tensorflow"\n'
        )
        run(known, str(SCRIPT), "run")
    else:
        start = [str(SCRIPT)] if way == "the console script" else [sys.executable, "-P", "-m", "pipeline"]
        run(known, *start, "-s", "../s", "embed", *network)


def test_no_process_is_named_by_a_module_or_its_code() -> None:
    """Of ours, whose first word would then be a place in the working folder."""
    root = REPOSITORY
    for file in (*(root / "pipeline").rglob("*.py"), *(root / "store").rglob("*.py")):
        text = file.read_text()
        assert '"-m"' not in text, file
        assert 'sys.executable, "-c"' not in text, file
