"""What labels, paths, ids and columns hold is shown by a terminal, and never obeyed; formats for programs stay exact."""

from __future__ import annotations

import ast
import csv
import fcntl
import functools
import io
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline
from pipeline.cli.app import cli
from pipeline.runtime import output, progress, terminal
from tests.support.coldframe import COLOURS, REPOSITORY, Catalogue, Coldframe, environment, picture

pytestmark = [pytest.mark.slow, pytest.mark.variants]

# What a stranger may put into a name, and how it is shown.
STRANGE = {
    "clipboard": ("\x1b]52;c;ZXZpbA==\x07", r"\x1b]52;c;ZXZpbA==\x07"),
    "line up and gone": ("\x1b[1A\x1b[2K", r"\x1b[1A\x1b[2K"),
    "back over it": ("ok\r\b\x7f\v\f", r"ok\r\x08\x7f\x0b\x0c"),
    "controls of one byte more": ("\x9b2J\x90q\x9c\x85\x80", r"\x9b2J\x90q\x9c\x85\x80"),
    "turned round": ("\u202egnp.\u202a\u202c", r"\u202egnp.\u202a\u202c"),
    "set apart": ("\u2066x\u2069\u2067\u2068", r"\u2066x\u2069\u2067\u2068"),
    "marks": ("\u200e\u200f\u061c", r"\u200e\u200f\u061c"),
    "ends": ("\u2028\u2029", r"\u2028\u2029"),
    "invisible": ("\u200b\u2060\ufeff\xad", r"\u200b\u2060\ufeff\xad"),
    "tags": ("\U000e0041\U000e007f\U000e0000", r"\U000e0041\U000e007f\U000e0000"),
    "another line": ("\nError: forged", r"\nError: forged"),
    "joiners of nothing": ("a\u200db\u200c", r"a\u200db\u200c"),
}
JOINED = ["می\u200cخواهم", "क्\u200dष", "ക്\u200c", "👩🏽\u200d🚀", "❤\ufe0f\u200d🔥", "ශ්\u200dරී"]
COLUMN = "family\x1b[31m\u202e\x9b"
SHOWN_COLUMN = r"family\x1b[31m\u202e\x9b"
CLIPBOARD, SHOWN_CLIPBOARD = STRANGE["clipboard"]


def is_hidden(one: str) -> bool:
    return unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") or 0xE0000 <= ord(one) <= 0xE007F


@functools.cache
def every_hidden() -> list[str]:
    return [chr(point) for point in range(sys.maxunicode + 1) if is_hidden(chr(point))]


def hidden(text: str) -> set[str]:
    """What should not be in a text for people; lines are."""
    return {one for one in text if is_hidden(one) and one != "\n"}


def on_terminal(*command: object) -> tuple[int, str]:
    """Run a command on a terminal of 100 columns: its exit code, and all that reached the terminal."""
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST  # else it ends lines with \r\n
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    line = list(map(str, command))
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment())
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # it has ended
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(), shown.decode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Coldframe, Catalogue]]:
    """A store of a strange name, of a catalogue with strange ids, paths, labels and a strange column; a missing file too."""
    folder = tmp_path_factory.mktemp("strange")
    catalogue = Catalogue(folder / "catalogue", [])
    for number, (text, _) in enumerate(STRANGE.values()):
        for twin in range(2):
            image = picture(list(COLOURS)[number % 3], 2 * number + twin)
            catalogue.add(f"id{twin}{text}", f"label{text}", image, f"{number}/{twin}{text}.png")
    catalogue.add("emoji", JOINED[3], picture("moth", 99), "emoji.png")
    catalogue.add(f"gone{CLIPBOARD}", "moth", None, f"gone{CLIPBOARD}\nError: forged.png")
    with catalogue.metadata.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "file_path", "label", COLUMN])
        writer.writerows([row["id"], row["file_path"], row["label"], row["label"]] for row in catalogue.rows)
    cf = Coldframe(folder / f"store{CLIPBOARD}")
    cf.ingest(catalogue, code=3)
    cf("embed", "mean-colour")
    cf("split", "test", 0.2)
    cf("drop", f"id0{CLIPBOARD}", "--why", f"because{CLIPBOARD}\nError: forged")
    cf("train", "--head", "centroid")
    yield cf, catalogue
    shutil.rmtree(folder, ignore_errors=True)  # pytest would clean up too, but says these names when it cannot


# --- what is written out


@pytest.mark.parametrize(("text", "shown"), STRANGE.values(), ids=STRANGE)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert terminal.escaped(text, keep="") == shown
    assert terminal.escaped(f"a {text} \\ b", keep="") == f"a {shown} \\ b"


def test_halves_of_characters_are_written_out() -> None:
    assert terminal.escaped(os.fsdecode(b"a\x9b\xff"), keep="") == r"a\udc9b\udcff"
    assert terminal.escaped("\ud800", keep="") == r"\ud800"


@pytest.mark.parametrize("text", [*JOINED, "naïve", "東京", "a\\x1b", "e\u0301", "", "a\xa0b", "\ue0b0"])
def test_what_people_write_stays(text: str) -> None:
    assert terminal.escaped(text, keep="") == text


def test_joiners_that_join_nothing_are_written_out() -> None:
    for text in ("a\u200db", "\u200c", "é\u200cé", "ab\u200d", "م\u200c\u200cم", "م\u200c\u202eم", "1\u200d2"):
        assert not hidden(terminal.escaped(text, keep="")), ascii(text)


def test_lines_and_tabs_stay_where_the_layout_is_ours() -> None:
    assert terminal.escaped("a\nb\tc") == r"a" + "\n" + r"b\tc"
    assert terminal.escaped("a\nb\tc", keep="\n\t") == "a\nb\tc"


ANY = st.text(st.characters(codec=None), max_size=30)
HIDDEN = st.deferred(lambda: st.sampled_from(every_hidden()[:1000]))


@given(st.lists(st.one_of(ANY, HIDDEN)).map("".join))
@settings(max_examples=100)
def test_nothing_hidden_is_left_and_nothing_else_changes(text: str) -> None:
    shown = terminal.escaped(text, keep="")
    assert {one for one in shown if is_hidden(one)} <= {"\u200c", "\u200d"}
    assert terminal.escaped(shown, keep="") == shown
    without = "".join(one for one in text if not is_hidden(one) and unicodedata.category(one) != "Cn")
    assert terminal.escaped(without, keep="") == without


def test_every_hidden_character_there_is() -> None:
    assert terminal.escaped("".join(every_hidden()), keep="").isascii()


# --- tables, drawings and errors, without a process each


@pytest.mark.parametrize(("text", "shown"), STRANGE.values(), ids=STRANGE)
def test_cells_and_names_of_columns(text: str, shown: str) -> None:
    nested: list[Any] = [[text], [text] * 9, {"a": {text: 1}}, text.encode(), [{"a": text}]]
    for value in (text, *nested):
        drawn = output.as_text(pa.table({f"name{text}": [value], "b": [1]}))
        assert not hidden(drawn)
        assert len(drawn.split("\n")) == 3
        assert f"name{shown}" in drawn
    assert shown in output.as_text(pa.table({"a": [text]}))


def test_a_drawing_keeps_its_lines_alone() -> None:
    drawing = pa.table({"explain_key": ["a"], "explain_value": [f"┌─\n│ {CLIPBOARD}\u202e\r│"]})
    assert output.as_text(drawing) == f"┌─\n│ {SHOWN_CLIPBOARD}\\u202e\\r│"
    assert output.as_text(pa.table({"explain_key": ["a"], "explain_value": [None]})) == "None"


ERRORS = [
    ["sql", "select 1", "--param", "={}"],
    ["sql", "select 1", "--rows", "{}"],
    ["sql", "select 1", "{}"],
    ["sql", "select 1", "--{}"],
    ["sql", "select '{}'::int"],
    ["sql", "select error('{}')"],
    ["sql", "selec {}"],
    ["{}"],
    ["--{}", "status"],
    ["-c", "{}.toml", "status"],
    ["-s", "{}", "status"],
    ["inspect", "{}"],
    ["inspect", "--format", "{}"],
    ["inspect", "{}", "--views", "{}.png"],
    ["why", "{}"],
    ["drop", "{}", "--why", "x"],
    ["embed", "{}"],
    ["score", "{}"],
    ["filter", "{}"],
    ["split", "{}", "0.1", "--by", "{}"],
    ["curate", "--plan", "{}"],
    ["predict", "{}", "a.png"],
    ["train", "--from", "{}"],
    ["train", "--head", "{}"],
    ["evaluate", "{}"],
    ["export", "{}"],
    ["runs", "--where", "{}"],
    ["gc", "--grace", "{}"],
    ["ingest", "{}.csv"],
    ["run", "{}"],
    ["-v", "why", "{}"],
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("arguments", ERRORS, ids=lambda one: " ".join(one))
def test_errors(strange: tuple[Coldframe, Catalogue], arguments: list[str]) -> None:
    cf, _ = strange
    for text in (f"x{CLIPBOARD}\nError: forged\x9b\u202e", "\u2066y\r\x1b[2K\u2028\U000e0041"):
        line = ["-s", str(cf.path), *(one.format(text) for one in arguments)]
        result = CliRunner().invoke(cli, line)
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code in (1, 2), result.output
        assert not hidden(result.output)
        said = result.stderr.split("\n")
        assert sum(one.startswith("Error: ") for one in said) == 1, result.stderr
        assert not any(one.startswith("Error: forged") for one in said), result.stderr


@pytest.mark.exhaustive
def test_errors_of_duckdb_still_say_where(strange: tuple[Coldframe, Catalogue]) -> None:
    cf, _ = strange
    said = cf("sql", "select nosuch + 1 from (select 1 as such)", code=1).stderr.split("\n")
    assert said[0].startswith("Error: ")
    assert 'Candidate bindings: "such"' in said[0]
    said = cf("sql", "select 'x'::int", code=1).stderr.split("\n")
    assert said[-3].startswith("LINE 1: select 'x'::int")
    assert said[-2].strip("^ ") == ""


def test_files_settings_and_variables(
    strange: tuple[Coldframe, Catalogue], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cf, _ = strange
    for number, text in enumerate(
        (
            '"a\\u001b[2K\\u202e" = 1',
            '[train.mlp]\n"\\u009b\\u2028" = 1',
            '[train."\\u0007\\r"]\nepochs = "\\u001b]52"',
            'store = ["\\u001b"]',
        )
    ):
        file = tmp_path / f"{number}\x1b[2K\nError: forged.toml"
        file.write_text(text)
        for command in (["status"], ["train"], ["run", "--dry-run"]):
            said = CliRunner().invoke(cli, ["-c", str(file), *command]).output
            assert not hidden(said)
            assert not any(line.startswith("Error: forged") for line in said.split("\n"))
    monkeypatch.setenv("COLDFRAME_INGEST_MAX_PIXELS", "9\x1b[2K\u202e")
    assert r"9\x1b[2K\u202e" in cf("ingest", code=1).stderr


def test_a_traceback_has_the_lines_of_python_alone() -> None:
    def fail() -> None:
        try:
            raise OSError(2, "no", f"a{CLIPBOARD}\nError: forged")
        except OSError as error:
            raise ValueError(f"b{CLIPBOARD}\nError: forged") from error

    with pytest.raises(ValueError, match="b") as caught:
        fail()
    told = terminal.traced(caught.value)
    assert not hidden(told)
    assert "\n\nThe above exception was the direct cause of the following exception:\n\nTraceback" in told
    assert f"FileNotFoundError: [Errno 2] no: 'a{SHOWN_CLIPBOARD}\\nError: forged'\n" in told
    assert told.split("\n")[-1] == f"ValueError: b{SHOWN_CLIPBOARD}\\nError: forged"
    assert not any(line.startswith("Error: forged") for line in told.split("\n"))


PYTHONS_OWN = """
import logging, sys, threading, warnings
from pipeline.cli import app
from pipeline.runtime import terminal
evil = "x\\x1b[2K\\x9b\\u202e\\r\\nError: forged"
class Falls:
    def __del__(self):
        raise ValueError(evil)
def fall(*_):
    raise ValueError(evil)
def main():
    warnings.warn(evil)
    terminal.guard_logs()
    logging.warning("of %s", evil)
    try:
        fall()
    except ValueError:
        logging.exception(evil)
    thread = threading.Thread(target=fall, name=evil)
    thread.start()
    thread.join()
    Falls()
    fall()
app.cli = main
app.main()
"""


def test_what_python_and_libraries_say(tmp_path: Path) -> None:
    (tmp_path / "falls.py").write_text(PYTHONS_OWN)
    done = subprocess.run(
        [sys.executable, tmp_path / "falls.py"],
        capture_output=True,
        env=environment(PYTHONPATH=str(REPOSITORY)),
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 1
    assert not hidden(said)
    assert said.count(r"x\x1b[2K\x9b\u202e\r\nError: forged") >= 8
    assert not any(line.startswith("Error: forged") for line in said.split("\n"))


class Tty(io.StringIO):
    """A terminal that keeps what it is told."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["clipboard", "turned round", "another line"])
def test_progress(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, shown = STRANGE[kind]
    for stream in (Tty(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.Progress(2, f"embed {text}") as counting:
            counting.advance(2)
        said = stream.getvalue()
        assert shown in said
        assert not hidden(said.replace("\r", ""))  # the bar's own, which goes back to the start of its line


# --- on a terminal and through pipes


ON_A_TERMINAL: list[tuple[list[str], int]] = [
    (["sql", "select * exclude (file_path) from images"], 0),
    (["sql", "select * exclude (file_path) from images order by image_id", "--format", "csv"], 0),
    (["sql", "select image_id, label, chr(127) || 'x' as d from images", "--format", "json"], 0),
    (["inspect"], 0),
    (["why", "ID"], 0),
    (["why", "GONE"], 0),
    (["status"], 0),
    (["curate"], 0),
    (["drop", "no\nError: forged\x1b[2K\x9b\u202e", "--why", "x"], 1),
    (["predict", "centroid", "IMAGE", "FORGED", "--neighbours", "1"], 3),
    (["-v", "-s", "no\x1b[2K\u2066\nError: forged", "status"], 1),
    (["sql", "select \x1b[2K\x9b\u202e"], 1),
]


@pytest.mark.parametrize(("arguments", "code"), ON_A_TERMINAL, ids=[ascii(" ".join(one)) for one, _ in ON_A_TERMINAL])
def test_on_a_terminal(strange: tuple[Coldframe, Catalogue], arguments: list[str], code: int) -> None:
    cf, catalogue = strange
    names = {
        "ID": f"id0{CLIPBOARD}",
        "GONE": f"gone{CLIPBOARD}",
        "IMAGE": str(catalogue.images / catalogue.rows[0]["file_path"]),
        "FORGED": "no\nError: forged\x1b[2K.png",
    }
    status, shown = on_terminal(*cf.command(*(names.get(one, one) for one in arguments)))
    assert status == code, ascii(shown)
    assert hidden(shown) <= {"\u200d"}, ascii(shown)
    assert not any(line.startswith("Error: forged") for line in shown.split("\n"))
    assert any(one in shown for one in (r"\x1b", "\\u001b", r"\x9b")) or arguments == ["curate"]
    if arguments[0] == "sql" and code == 0:
        assert SHOWN_CLIPBOARD in shown or "\\u001b]52" in shown
        assert SHOWN_COLUMN in shown or "json" in arguments
        assert JOINED[3] in shown or "json" in arguments
    if "json" in arguments:
        assert {row["d"] for row in json.loads(shown)} == {"\x7fx"}


def test_ingest_on_a_terminal(strange: tuple[Coldframe, Catalogue], tmp_path: Path) -> None:
    _, catalogue = strange
    cf = Coldframe(tmp_path / "other\x1b[2K")
    line = ["ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id", "--workers", "1", "-q"]
    status, shown = on_terminal(*cf.command(*line))
    assert status == 3, shown
    assert not hidden(shown), ascii(shown)


def test_parquet_is_refused_on_a_terminal(strange: tuple[Coldframe, Catalogue]) -> None:
    cf, _ = strange
    status, shown = on_terminal(*cf.command("sql", "select label from images", "--format", "parquet"))
    assert status == 1
    assert shown == "Error: parquet is binary, and no terminal can show it: send it to a file ('> FILE')\n"


@pytest.mark.parametrize("fmt", ["csv", "json", "ndjson", "parquet"])
def test_formats_for_programs_are_exact(strange: tuple[Coldframe, Catalogue], fmt: str) -> None:
    cf, catalogue = strange
    query = f'select image_id, label, "{COLUMN}" from images order by image_id'
    written = subprocess.run(
        cf.command("sql", query, "--format", fmt), stdout=subprocess.PIPE, env=environment(), check=True
    ).stdout
    if fmt == "csv":
        names, *lines = list(csv.reader(io.StringIO(written.decode(), newline="")))
        rows = [dict(zip(names, line, strict=True)) for line in lines]
        assert f"label{STRANGE['invisible'][0]}".encode() in written
    elif fmt == "parquet":
        rows = pq.read_table(io.BytesIO(written)).to_pylist()
    else:
        rows = json.loads(written) if fmt == "json" else [json.loads(line) for line in written.splitlines()]
    expected = [
        {"image_id": row["id"], "label": row["label"], COLUMN: row["label"]}
        for row in sorted(catalogue.rows, key=lambda row: row["id"].encode())
        if not row["id"].startswith("gone")
    ]
    assert rows == expected


def test_other_json_is_exact(strange: tuple[Coldframe, Catalogue]) -> None:
    cf, _ = strange
    assert json.loads(cf("why", f"id0{CLIPBOARD}", "--format", "json").stdout)["image"]["label"] == f"label{CLIPBOARD}"
    classes = json.loads(cf("inspect", "--format", "json").stdout)["classes"]
    assert {f"label{text}" for text, _ in STRANGE.values()} <= {row["label"] for row in classes}


# --- encodings other than UTF-8, and no stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_an_encoding_has_no_code_for_is_written_out(strange: tuple[Coldframe, Catalogue], encoding: str) -> None:
    cf, _ = strange
    variables = environment(PYTHONIOENCODING=f"{encoding}:strict")

    def said(*arguments: object, code: int = 0) -> bytes:
        done = subprocess.run(cf.command(*arguments), capture_output=True, env=variables, check=False)
        assert done.returncode == code, done.stderr
        assert b"unexpected" not in done.stderr
        return done.stdout + done.stderr

    text = "é…\u06db東\U0001f680"
    shown = text.encode(encoding, "backslashreplace")
    assert rb"\u06db\u6771\U0001f680" in shown
    assert shown in said("sql", f"select '{text}' as a")
    assert rb"\U0001f680" in said("why", "emoji")
    if encoding != "ascii":
        return  # these differ in what they have codes for, not in who writes
    assert shown in said("sql", f'select 1 as "{text}"')
    assert shown in said("sql", f'select "{text}" from images', code=1)
    assert shown in said("why", text, code=1)
    assert shown in said("-s", text, "status", code=1)
    assert b"largest_class" in said("inspect")
    assert said("sql", "explain select 1").isascii()
    for command in ("embed", "ingest", "sql"):
        assert b"Usage" in said(command, "--help")


@pytest.mark.parametrize("fmt", ["csv", "json", "ndjson"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_formats_for_programs_are_utf8(strange: tuple[Coldframe, Catalogue], encoding: str, fmt: str) -> None:
    cf, _ = strange
    command = cf.command("sql", "select 'é…東' as \"é\" from range(9000)", "--format", fmt)
    variables = environment(PYTHONIOENCODING=f"{encoding}:strict")
    written = subprocess.run(command, stdout=subprocess.PIPE, env=variables, check=True).stdout.decode()
    if fmt == "csv":
        rows = list(csv.DictReader(io.StringIO(written)))
    else:
        rows = json.loads(written) if fmt == "json" else [json.loads(line) for line in written.splitlines()]
    assert rows == [{"é": "é…東"}] * 9000


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_csv_on_a_terminal_of_another_encoding(strange: tuple[Coldframe, Catalogue], encoding: str) -> None:
    cf, _ = strange
    command = cf.command("sql", "select '…\u06db' as a", "--format", "csv")
    status, shown = on_terminal("env", f"PYTHONIOENCODING={encoding}:strict", *command)
    assert (status, shown) == (0, "a\n\\u2026\\u06db\n")


CLOSED: list[tuple[list[str], int]] = [
    *((["sql", "select 1", "--format", fmt], 1) for fmt in ("table", "csv", "json", "ndjson", "parquet")),
    (["predict", "centroid", "IMAGE", "--format", "csv"], 1),
    (["inspect", "--format", "json"], 1),
    (["why", "emoji", "--format", "json"], 1),
    (["why", "emoji"], 0),  # a message, which nobody wants to read
    (["status"], 0),
]


@pytest.mark.parametrize(("arguments", "code"), CLOSED, ids=[" ".join(one) for one, _ in CLOSED])
def test_without_stdout(strange: tuple[Coldframe, Catalogue], arguments: list[str], code: int) -> None:
    cf, catalogue = strange
    image = str(catalogue.images / catalogue.rows[0]["file_path"])
    command = cf.command(*(image if one == "IMAGE" else one for one in arguments))
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, env=environment(), check=False
    )
    assert done.returncode == code, done.stderr
    assert (b"Error: standard output is closed, so a result has nowhere to go" in done.stderr) == bool(code)
    assert b"unexpected" not in done.stderr


def test_a_path_for_a_script_is_exact(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.fsdecode(b"\xff\x1b[2K\n")
    output.write_line(path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    output.write_line(path)
    assert capfdbinary.readouterr().out == b"\xff\x1b[2K\n\n" + rb"\udcff\x1b[2K\n" + b"\n"


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "--deep"], ["repair", "--dry-run"], ["gc", "--dry-run"]])
def test_damage_is_told(strange: tuple[Coldframe, Catalogue], tmp_path: Path, arguments: list[str]) -> None:
    cf, _ = strange
    store = tmp_path / f"copy{CLIPBOARD}\nError: forged"
    shutil.copytree(cf.path, store)
    copy = Coldframe(store)
    part = store / copy.store.snapshot().manifest.parts("curation", "default")[0].path
    part.write_bytes(part.read_bytes()[:-1])
    result = CliRunner().invoke(cli, ["-s", str(store), *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert not hidden(result.output)
    assert not any(line.startswith("Error: forged") for line in result.output.split("\n"))
    assert SHOWN_CLIPBOARD in result.output or "gc" in arguments


# --- the kind


WRITERS = {  # where else something may reach a terminal, and why
    "pipeline/runtime/terminal.py": "it escapes",
    "pipeline/runtime/output.py": "formats for programs, which are exact",
    "pipeline/embed/embedders/keras_applications.py": "a bar of Keras' own, of a download",
    "pipeline/curate/scorers/imagenet.py": "a bar of Keras' own, of a download",
}
SCRIPTS = "pipeline/demo/training"  # run by hand, on drawn pictures
ECHOES = {"echo", "secho", "echo_via_pager", "print", "pprint", "print_exc", "print_exception", "print_stack"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
HARMLESS = {"isatty", "flush"}


def writings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module writes to the terminal past pipeline/terminal.py."""
    above = {below: node for node in ast.walk(tree) for below in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("click", "sys", "traceback", "pprint"):
            for name in node.names:
                if name.name in ECHOES | STREAMS:
                    yield node.lineno, f"from {node.module} import {name.name}"
        elif isinstance(node, ast.Name) and node.id == "print":
            yield node.lineno, "print"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("click", "traceback", "pprint", "tqdm") and node.attr in ECHOES | {"write"}:
                yield node.lineno, f"{node.value.id}.{node.attr}"
            if node.value.id == "sys" and node.attr in STREAMS:
                use = above.get(node)
                if not (isinstance(use, ast.Attribute) and use.attr in HARMLESS):
                    yield node.lineno, f"sys.{node.attr}"


@pytest.mark.parametrize(
    "line",
    [
        "click.echo('a')",
        "print('a')",
        "sys.stdout.write('a')",
        "sys.stderr.write('a')",
        "sys.stdout.buffer.write(b'a')",
        "csv.writer(sys.stdout)",
        "print('a', file=sys.stderr)",
        "from click import echo",
        "say = click.secho",
        "traceback.print_exc()",
        "tqdm.write('a')",
    ],
)
def test_writing_past_the_module_is_seen(line: str) -> None:
    assert list(writings(ast.parse(line)))


def test_everything_goes_through_one_module() -> None:
    root = Path(pipeline.__file__).parent
    found = []
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root.parent).as_posix()
        if name in WRITERS or name.startswith(SCRIPTS):
            continue
        found += [f"{name}:{line}: {what}" for line, what in writings(ast.parse(file.read_text(encoding="utf-8")))]
    assert not found, "use pipeline.runtime.terminal.echo, which escapes"
    exact = {
        one.name
        for one in ast.parse((root / "runtime" / "output.py").read_text(encoding="utf-8")).body
        if isinstance(one, ast.FunctionDef) and list(writings(one))
    }
    assert exact <= {"_see_stdout", "emit", "write_all", "write_json", "write_line"}
