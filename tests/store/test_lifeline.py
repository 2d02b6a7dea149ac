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

from store import spill
from tests.support.coldframe import REPOSITORY, Coldframe, environment

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
