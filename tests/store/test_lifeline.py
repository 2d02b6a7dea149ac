"""What our processes leave when they are ended: no command that goes on alone, no spilled rows for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from store import memory, spill
from tests.support.coldframe import REPOSITORY, Coldframe, environment

pytestmark = [pytest.mark.slow, pytest.mark.variants]

LONG = "select count(*) from range(1000000) a, range(1000000) b where hash(a.range, b.range) = 1"
PARENT = """
import sys
import tempfile
from pathlib import Path
from pipeline.cli.app import Common, coldframe
sys.exit(coldframe(Common(store=Path(sys.argv[1])), ["sql", sys.argv[2]]))
"""


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == process:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to find processes in")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_stops_when_the_one_that_runs_it_is_ended(ready: Coldframe, how: signal.Signals) -> None:
    command = [sys.executable, "-P", "-c", PARENT, str(ready.path), LONG]
    env = environment(PYTHONPATH=str(REPOSITORY))
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        seen: list[int] = []
        while len(seen) < 2:  # the command, and the process that answers
            time.sleep(0.05)
            seen = children(parent.pid)
            seen += [one for child in seen for one in children(child)]
        time.sleep(1)
        parent.send_signal(how)
        parent.wait(60)
    waited = time.monotonic() + 60
    while any(is_there(one) for one in seen):
        assert time.monotonic() < waited, "a process goes on alone"
        time.sleep(0.1)


DIES = """
import os, signal, sys
from store import spill
from pathlib import Path
folder = Path(spill.new()).parent
for name in "abcdef":
    (folder / name).write_bytes(b"spilled")
calls = 0
def die(path, *, dir_fd=None, unlink=os.unlink, after=int(sys.argv[1])):
    global calls
    calls += 1
    if calls > after:
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(path) if dir_fd is None else unlink(path, dir_fd=dir_fd)
os.unlink = os.remove = die
print(folder, flush=True)
"""


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_what_was_spilled_goes_though_the_one_who_removes_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    env = environment(PYTHONPATH=str(REPOSITORY), TMPDIR=str(tmp_path))
    command = [sys.executable, "-P", "-c", DIES, str(after)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill.remove_leftovers()
    assert not folder.exists()


def test_an_empty_folder_that_nobody_had_time_to_mark_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("coldframe-spill-abcd1234", "coldframe-spill-mine"):
        (tmp_path / name).mkdir(0o700)
    (tmp_path / "coldframe-spill-efgh5678").mkdir(0o700)
    (tmp_path / "coldframe-spill-efgh5678" / "mine").touch()
    spill.remove_leftovers()
    assert sorted(os.listdir(tmp_path)) == ["coldframe-spill-efgh5678", "coldframe-spill-mine"]


BUSY = """
import signal, sys, time
from store import lifeline
lifeline.PATIENCE = 0.5
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, lambda number, frame: None)
lifeline.end_when_asked(lambda: print("ended", flush=True))
print("begun", flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_does_not_stop_when_it_is_asked_is_ended(how: signal.Signals) -> None:
    command = [sys.executable, "-P", "-c", BUSY]
    with subprocess.Popen(
        command, env=environment(PYTHONPATH=str(REPOSITORY)), stdout=subprocess.PIPE, text=True
    ) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == "begun\n"
        busy.send_signal(how)
        assert busy.stdout.readline() == "ended\n"
        assert busy.wait(30) == 130


def test_a_closed_terminal_stops_a_command_as_ctrl_c_does(ready: Coldframe) -> None:
    with subprocess.Popen(ready.command("sql", LONG), env=environment(), stderr=subprocess.PIPE, text=True) as command:
        while not children(command.pid):
            time.sleep(0.05)
        time.sleep(1)
        command.send_signal(signal.SIGHUP)
        assert command.wait(60) == 130
        assert command.stderr is not None
        assert "interrupted; what was committed before is safe" in command.stderr.read()


@pytest.mark.skipif(any(Path(one).exists() for one in memory.GPUS), reason="no limit where there is a GPU")
def test_no_command_takes_all_of_the_memory(tmp_path: Path) -> None:
    code = "import resource; from store import memory; memory.leave_some_to_others()"
    code += "; print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment(PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == memory.memory_bytes() // 10 * 9


def test_a_folder_that_was_swapped_is_not_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others may rename in the temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine, left = tmp_path / "mine", tmp_path / "coldframe-spill-abcd1234"
    mine.mkdir()
    (mine / "letter").touch()
    left.mkdir(0o700)
    for name in (spill.MARK, "spilled"):
        (left / name).touch()
    mark = spill._is_marked

    def swap(held: int) -> bool:
        left.rename(tmp_path / "away")
        left.symlink_to(mine)
        return mark(held)

    monkeypatch.setattr(spill, "_is_marked", swap)
    spill.remove_leftovers()
    assert (mine / "letter").exists()
    assert not (tmp_path / "away" / "spilled").exists()
