"""The command line as a whole: quick, honest about its options, and quiet about frameworks."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.app import FILES, Common, cli
from pipeline.cli.options import default_text
from pipeline.demo import world
from pipeline.deploy import asking, export
from pipeline.embed import settings as embed_settings
from pipeline.evaluate import evaluate
from pipeline.finetune import settings as finetune_settings
from pipeline.ingest import settings as ingest_settings
from pipeline.steps import config, hints
from pipeline.steps.settings import declared
from pipeline.train import fitting, tune
from store.errors import ColdframeError
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, command_of, picture

FRAMEWORKS = "tensorflow, torch, keras, sklearn, duckdb, pyarrow, numpy"


def loaded(code: str, names: str) -> str:
    script = f"import sys\n{code}\nprint([name for name in '{names}'.split(', ') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return done.stdout.splitlines()[-1]


def invoking(arguments: list[str]) -> str:
    invoke = f"result = CliRunner().invoke(cli, {arguments})"
    return (
        f"from click.testing import CliRunner\nfrom pipeline.cli.app import cli\n{invoke}\nassert result.exit_code == 0"
    )


def test_help_loads_nothing_heavy() -> None:
    assert loaded(invoking(["--help"]), FRAMEWORKS) == "[]"


@pytest.mark.variants
@pytest.mark.parametrize(
    "arguments",
    [["sql", "select 1"], ["status"], ["verify"], ["inspect"], ["why", "moth-00"], ["runs"], ["repair"], ["gc"]],
)
def test_questions_load_no_framework(ready: Coldframe, arguments: list[str]) -> None:
    assert (
        loaded(invoking(["-s", str(ready.path), *arguments]), "tensorflow, torch, keras, transformers, sklearn") == "[]"
    )


def test_every_command_and_option_has_help() -> None:
    for name in FILES:
        command = command_of(name)
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_common_options_stand_before_or_after_the_command(ready: Coldframe, tmp_path: Path) -> None:
    for arguments in (["-s", ready.path, "sql", "select 1"], ["sql", "select 1", "--store", ready.path]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipeline", *map(str, arguments)], check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr


def test_flag_beats_environment_beats_file_beats_default(
    monkeypatch: pytest.MonkeyPatch, cf: Coldframe, catalogue: Catalogue, tmp_path: Path
) -> None:
    assert Common().root == Path("coldframe-store")
    Path("coldframe.toml").write_text(
        f'store = "from-file"\n[ingest]\nmetadata = "{catalogue.metadata}"\nlabel = "phylum"\n'
    )
    assert Common().root == Path("from-file")
    cf("ingest", "--images", catalogue.images, "--id", "id")
    assert cf.value("select count(distinct label) from images") == 2
    monkeypatch.setenv("COLDFRAME_INGEST_LABEL", "id")
    cf("ingest", "--images", catalogue.images, "--id", "id")
    assert cf.value("select count(distinct label) from images") == 24
    cf("ingest", "--images", catalogue.images, "--id", "id", "--label", "label")
    assert cf.value("select count(distinct label) from images") == 3
    monkeypatch.setenv("COLDFRAME_INGEST_MAX_PIXELS", "many")
    assert "COLDFRAME_INGEST_MAX_PIXELS=many: expected a whole number" in cf("run", code=1).stderr
    monkeypatch.setenv("COLDFRAME_STORE", str(tmp_path / "from-environment"))
    assert cf.value("select count(*) from images") == 24  # -s before the command still counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train.mlp", "coldframe.toml: not readable as TOML"),
        ('[ingest]\nimages = "C:\\Users\\me"\n', "in double quotes a backslash begins an escape: write a path with /"),
        ("\ufeff[trian]\r\n", "coldframe.toml: no section 'trian'"),  # as an editor of Windows saves it
        ("[trian]\n", "coldframe.toml: no section 'trian'; sections: store, ingest, embed"),
        ('[train."a\\u0000b"]\n', "coldframe.toml: 'a\\x00b' has a NUL character: remove it"),
        ('[plans.p]\nstages = [{ split = "val\\u0000", share = 0.1 }]\n', "'val\\x00' has a NUL character: remove it"),
        ("[train.mlp]\nepoch = 3\n", r"[train.mlp]: no setting 'epoch'; settings: input, units"),
        ("[train.mlp]\nepochs = 'x'\n", r"[train.mlp]: epochs = 'x', expected a whole number"),
        ("train = 3\n", "[train] should be a table of settings"),
        (
            "[finetune]\nlayers = 3\n",
            "'layers' is directly under [finetune]: put it under a name, as in [finetune.NAME]",
        ),
        ("[plans.default]\nstages = 3\n", "stages should be a list of tables"),
        ("[plans.default]\nstages = [{ rule = 'a', split = 'b' }]\n", "a stage is { rule = NAME, … }"),
        ("[plans.default]\nseed = 'x'\n", "seed = 'x', expected a whole number"),
        ("[plans.default]\nsteps = []\n", "no setting 'steps'; settings: seed, stages"),
        ("[plans.default]\nstages = [{ split = 'test' }]\n", "share None, expected a number between 0 and 1"),
        (
            "[plans.default]\nstages = [{ split = 'test', share = 0.1, size = 3 }]\n",
            "no setting 'size'; settings: share, by",
        ),
        ("[plans.default]\nstages = [{ rule = 'cmyk' }, { rule = 'cmyk' }]\n", "rule cmyk is listed twice"),
        ("[plans.default]\nstages = [{ rule = 'centroid', apply_to = 'test' }]\n", "expected one of train, all"),
        (
            "[plans.default]\nstages = [{ rule = 'centroid', percentile = '95' }]\n",
            "percentile = '95', expected a number between 0 and 100",
        ),
        ("[plans.default]\nstages = [{ rule = 'centroid', leave_one_out = 'off' }]\n", "expected true or false"),
        (
            "[plans.default]\nstages = [{ split = 'test', share = 0.1, by = ['a'] }]\n",
            "expected the name of one column",
        ),
        ("[plans.default]\nseed = 9223372036854775808\n", "expected a whole number of at most 63 bits"),
        ("store = 3\n", "store = 3, expected the path of a folder"),
    ],
)
def test_a_file_that_is_wrong_is_said_where(ready: Coldframe, text: str, message: str) -> None:
    Path("coldframe.toml").write_text(text)
    common = Common()
    with pytest.raises(ColdframeError) as error:  # noqa: PT012
        _ = common.root
        from pipeline.curate import plans
        from pipeline.train import fitting

        common.config.settings(fitting.Settings, "train", "mlp", flags={})
        plans.from_config(common.config, "default")
    assert message in str(error.value)


def test_a_named_file_must_exist(ready: Coldframe) -> None:
    assert "gone.toml: no such file; 'coldframe run --init' writes" in ready("-c", "gone.toml", "status", code=1).stderr


def test_filter_keeps_the_file_in_step_and_its_comments(ready: Coldframe) -> None:
    Path("coldframe.toml").write_text(
        "# my recipe\n[plans.default]\nseed = 3\nstages = [\n"
        "    { rule = 'greyscale' },  # sketches\n    # then carve\n    { split = 'test', share = 0.2 },\n]\n"
    )
    ready("curate")
    assert "plan 'default' brought up to date" in ready("filter", "centroid", "--percentile", 90).stderr
    ready("split", "test", 0.25, "--seed", 4)
    text = Path("coldframe.toml").read_text()
    for kept in ("# my recipe", "# sketches", "# then carve", "seed = 4"):
        assert kept in text, text
    ready("curate")
    assert [row["name"] for row in ready.rows("select name from stages")] == ["greyscale", "test", "centroid"]
    assert ready.value("select settings from stages where name = 'test'") == '{"share": 0.25}'


def test_a_plan_of_tables_is_kept_in_step_too(ready: Coldframe) -> None:
    Path("coldframe.toml").write_text("[[plans.default.stages]]\nrule = 'greyscale'\n")
    ready("filter", "cmyk")
    ready("curate")
    assert [row["name"] for row in ready.rows("select name from stages")] == ["greyscale", "cmyk"]


def test_status_says_what_is_missing_and_still_shows_the_books(ready: Coldframe) -> None:
    Path("coldframe.toml").write_text("[plans.default]\nstages = [{ rule = 'centroid', embedder = 'clip' }]\n")
    ready("split", "test", 0.25, "--plan", "other")
    status = ready("status").stdout
    assert "out of date: curate --plan default: never run" in status
    assert "mean-colour" in status


@pytest.mark.exhaustive
def test_embed_of_several_ends_with_the_worst_exit_code(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("late", "moth", picture("moth", 5))
    catalogue.write()
    cf.ingest(catalogue)
    (catalogue.images / "moth/late.png").unlink()
    cf.process("embed", "nosuch", "mean-colour", code=1)
    assert cf.value("select count(*) from embeddings") == 24


def test_inspect(ready: Coldframe) -> None:
    shown = ready("inspect").stdout
    for section in ("overview", "classes", "sizes", "modes", "copies", "failures"):
        assert section in shown
    assert ready("inspect", "classes", "--format", "csv").stdout.splitlines()[1].startswith("finch,8,33.33")
    assert '"classes"' in ready("inspect", "--format", "json").stdout
    assert "no section 'colour'; sections: overview" in ready("inspect", "colour", code=2).stderr
    assert "--format csv needs one section" in ready("inspect", "--format", "csv", code=2).stderr


def test_status_prints_the_books(ready: Coldframe) -> None:
    assert "24" in ready("status").stdout
    ready("split", "test", 0.25)
    status = ready("status").stdout
    books = json.loads(ready("status", "--format", "json").stdout)["books"][0]
    assert books["catalogue"] == books["ready"] + books["failed"] == 24
    assert books["ready"] == books["kept"] + books["out"] + books["not_yet_curated"]
    assert "everything is up to date" in status
    assert "mean-colour" in status
    ready("drop", "moth-00", "--why", "x")
    assert ready.rows("select count(*) n from exclusions") == [{"n": 1}]
    assert '"catalogue": 24' in ready("status", "--format", "json").stdout


def test_verify_finds_damage(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    assert "FAILED" not in ready("verify", "--deep").stdout
    part = ready.path / ready.store.snapshot().manifest.parts("curation", "default")[0].path
    whole = part.read_bytes()
    part.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert "FAILED files-deep" in ready("verify", "--deep", code=4).stdout
    part.write_bytes(whole[:-1])
    assert "bytes, expected" in ready("verify", code=4).stdout
    part.unlink()
    assert "missing, 24 rows of curation are lost" in ready("verify", code=4).stdout
    for question in (["sql", "select 1"], ["status"], ["curate"]):
        assert "a part cannot be read" in ready(*question, code=1).stderr
        assert "--deep' says which" in ready(*question, code=1).stderr


def test_a_store_without_a_manifest_is_no_empty_store(ready: Coldframe) -> None:
    for file in (ready.path / "manifests").iterdir():
        file.unlink()
    assert "no manifest there; restore one from a backup" in ready("status", code=1).stderr


def test_quiet_and_verbose(ready: Coldframe) -> None:
    assert ready("-q", "ingest", "--help").stdout
    assert ready("embed", "mean-colour", "-q").stderr == ""
    assert "Traceback" not in ready("embed", "nosuch", code=1).stderr
    assert "Traceback" in ready("-v", "embed", "nosuch", code=1).stderr


@pytest.mark.exhaustive
def test_an_interrupt_is_exit_code_130(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    query = "select count(*) from range(1000000000) a, range(1000000) b"
    process = subprocess.Popen(cf.command("sql", query), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "what was committed before is safe" in said


DESCRIBED = r"(the|each|half) "  # what a default is where no value says it


def test_each_default_that_the_help_shows_is_a_value_of_the_code() -> None:
    """No file of the command line writes one a second time, in a help text or beside an option of a setting."""
    for file in (REPOSITORY / "pipeline" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(node.value, bytes):
                for told in re.findall(r"\[default: (?!\{)(.*)", node.value):
                    assert re.match(DESCRIBED, told) or told in ("", "./"), f"{file}: {told}"


SETTINGS = {
    "demo": world.Settings,
    "ingest": ingest_settings.Settings,
    "embed": embed_settings.Settings,
    "train": fitting.Settings,
    "tune": tune.Settings,
    "evaluate": evaluate.Settings,
    "finetune": finetune_settings.Settings,
    "export": export.Settings,
    "predict": asking.Settings,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_option_of_a_setting_has_the_default_that_is_declared(name: str) -> None:
    """The option itself has none: what is not given is left to the setting. Its help says the declared one."""
    options = {one.name: one for one in command_of(name).params if isinstance(one, click.Option)}
    with_options = [one for one in declared(SETTINGS[name]) if one.setting.is_option and one.name in options]
    assert len(with_options) >= 3
    for one in with_options:
        option = options[one.name]
        assert option.get_default(click.Context(command_of(name))) in (None, ()), one.name
        if name not in ("train", "tune") and (told := default_text(one)):  # whose help says those of each head
            assert f"[default: {told}]" in (option.help or ""), one.name


def test_the_settings_of_each_section_are_looked_at() -> None:
    assert {*SETTINGS, "copies", "score", "store", "plans"} >= set(config.SECTIONS)


def commands_in(said: str) -> list[list[str]]:
    """The commands of ours that a message names: in quotes, or at the end of a line."""
    found = re.findall(r"'(coldframe [^']*)'|see: (coldframe .*)", said)
    return [shlex.split(quoted or plain)[1:] for quoted, plain in found]


@pytest.mark.slow
def test_hints_work_when_they_are_pasted(tmp_path: Path, catalogue: Catalogue) -> None:
    cf = Coldframe(tmp_path / "elsewhere")
    catalogue.add("gone", "moth")
    catalogue.write()
    said = [cf.ingest(catalogue, code=3).stderr]
    cf("embed", "mean-colour")
    said.append(cf("why", "moth-00").stdout)
    said.append(cf("train", "--head", "centroid", "--plan", "mine", code=1).stderr)
    cf("split", "test", 0.2)
    said.append(cf("train", "--head", "centroid").stderr)
    said.append(cf("evaluate", "--plan", "nope", code=1).stderr)
    assert "no plan 'nope' has been replayed; replayed: default; " in said[-1]
    pasted = [words for text in said for words in commands_in(text)]
    assert {words[0] for words in pasted} >= {"sql", "curate", "split"}
    assert ["split", "--store", str(cf.path), "test", "0.15", "--plan", "nope"] in pasted
    for words in pasted:
        assert words[1:3] == ["--store", str(cf.path)]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"{words}: {result.output}"
    cf("evaluate", "--plan", "nope")


@pytest.mark.exhaustive
@pytest.mark.slow
def test_no_name_in_a_hint_is_a_command(tmp_path: Path, catalogue: Catalogue) -> None:
    cf = Coldframe(tmp_path / "st;touch owned;#")
    cf.ingest(catalogue)
    (catalogue.images / "moth" / "moth-00.png").write_bytes(b"")
    said = []
    for name in ("$(touch owned)", "a coldframe look b", "it's `touch owned`"):
        said.append(cf("embed", "mean-colour", "--as", name, code=3).stderr)
        said.append(cf("train", "--head", "centroid", "--embedder", f"no {name}", code=1).stderr)
    plan = "p; touch owned; coldframe look"
    Path("coldframe.toml").write_text(f"[embed.x]\nembedder = 'mean-colour'\nviews = 1\nplan = '{plan}'\n")
    said.append(cf("embed", "x", code=1).stderr)
    told = tmp_path / "told"
    (tmp_path / "tools").mkdir()
    ours = tmp_path / "tools" / "coldframe"
    ours.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {told}\n")
    ours.chmod(0o755)
    lines = [found for text in said for found in re.findall(r"coldframe (?:sql|curate|embed) --store .*", text)]
    assert len(lines) == 7
    for line in lines:
        found = re.match(r"(?:[^'\"]|'[^']*'|\"[^\"]*\")*", line)  # as far as quotation marks are closed
        assert found
        subprocess.run(["sh", "-c", found[0]], env={"PATH": f"{ours.parent}:{os.environ['PATH']}"}, check=False)
    assert not list(tmp_path.rglob("owned"))
    assert told.read_text().splitlines().count(str(cf.path)) == 7


@pytest.mark.parametrize("section", ["embed", "score", "plans", "train", "tune", "finetune"])
def test_no_name_in_a_recipe_is_an_option(tmp_path: Path, section: str) -> None:
    Path("coldframe.toml").write_text(f'[{section}."--help"]\n')
    assert "called '--help': expected a name" in Coldframe(tmp_path / "store")("run", code=1).stderr


def test_a_store_named_without_end_is_a_sentence() -> None:
    Path("coldframe.toml").write_text(f"store.{'.'.join('a' * 500)} = 1\n")
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 1
    assert "expected the path of a folder" in result.stderr


@pytest.mark.slow
def test_a_name_is_checked_wherever_one_is_given(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    for name in ("", " ", "two\nlines", "-dash", "a/b", "tab\t", " blank", "x" * 200, "\u202egnp"):
        for words in (
            ("train", "--head", "centroid", f"--as={name}"),
            ("tune", f"--as={name}"),
            ("finetune", f"--as={name}"),
            ("embed", "mean-colour", f"--as={name}"),
        ):
            assert "called " in ready(*words, code=2).stderr, words
        ready("split", "--", name, "0.2", code=1)
        assert "a plan called" in ready("filter", "greyscale", f"--plan={name}", code=1).stderr
    assert ready.value("select count(*) from runs") == 0
    ready("train", "--head", "centroid", "--as", "my run (2)")


def test_no_option_takes_a_number_that_is_not_finite() -> None:
    floats = 0
    for name in FILES:
        for option in command_of(name).params:
            if isinstance(option.type, click.types.FloatParamType):
                floats += 1
                for text in ("inf", "-inf", "nan", "1e999"):
                    with pytest.raises(click.BadParameter):
                        click.ParamType.__call__(option.type, text, option)
    assert floats > 20


@pytest.mark.slow
def test_a_setting_that_is_not_finite_is_refused_in_a_recipe(ready: Coldframe, tmp_path: Path) -> None:
    ready("split", "test", 0.2)
    for text in ("learning_rate = inf", "learning_rate = nan", "dropout = nan"):
        (tmp_path / "coldframe.toml").write_text(f"[train.mlp]\n{text}\n")
        assert "expected" in ready("train", code=1).stderr
    assert ready.value("select count(*) from runs") == 0
    for option in ("threshold=Infinity", "threshold=NaN"):
        ready("filter", "clip-quality", "--set", option, code=1)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_name_of_a_stranger_is_one_word_of_a_hint_and_no_option(name: str) -> None:
    words = shlex.split(hints.line("embed", name, "--views", 4))
    found = command_of("embed").make_context("embed", words[2:], resilient_parsing=True).params
    assert (found["names"], found["views"]) == ((name,), 4)
    shown = hints.command("embed", name)
    assert shown[0] not in shown[1:-1]  # so the command is one, though its marks are pasted with it
