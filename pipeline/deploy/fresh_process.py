"""Load a draft artefact in a separate process and ask it, as its user would.

Run as a program with a FOLDER and a STORE, it reads from ``FOLDER/rehearsal.json`` which contents to look at, and writes the
model's results to ``FOLDER/rehearsal.npz``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.deploy import artefact, cards, ownership
from pipeline.ingest import pictures
from pipeline.runtime import terminal
from pipeline.runtime.progress import Progress
from store import importing, lifeline
from store.errors import ColdframeError
from store.store import Store

ASKED, ANSWERED = ownership.REHEARSAL
BATCH = 32


@dataclass(frozen=True)
class Answers:
    """The probabilities of contents, (n, classes), and which contents gave a picture, bool (asked,)."""

    probabilities: npt.NDArray[np.float32]
    readable: npt.NDArray[np.bool_]


def rehearse(folder: Path, store: Path, content_ids: Sequence[str], *, quiet: bool) -> Answers:
    """The results of the artefact in ``folder`` for contents of a store, from a fresh process.

    Raises:
        ColdframeError: the artefact cannot be loaded there, or the process cannot run.
    """
    (folder / ASKED).write_text(json.dumps({"contents": list(content_ids), "quiet": quiet}), encoding="utf-8")
    command = [*importing.command("pipeline.deploy.fresh_process"), str(folder.absolute()), str(store.absolute())]
    environment = dict(os.environ)
    importing.keep_children_out(environment)
    code = _wait_for(command, environment)
    if code:
        raise ColdframeError(
            f"the exported model cannot be used in a fresh process (exit code {code}); what it said stands above"
        )
    with np.load(folder / ANSWERED) as held:
        answers = Answers(held["probabilities"], held["readable"])
    for name in (ASKED, ANSWERED):
        (folder / name).unlink()
    return answers


def _wait_for(command: list[str], environment: dict[str, str]) -> int:
    """Wait for a process and return its exit code. The process ends when this one does, however this one ends."""
    line, held = lifeline.ends()
    try:
        process = subprocess.Popen(
            [*command, str(line)],
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[line],
            start_new_session=True,
        )
        os.close(line)
        return process.wait()
    finally:
        os.close(held)  # this tells the child to end


def main() -> None:
    """Answer for the folder and store on the command line, which also names the pipe that tells when the parent is gone."""
    folder, root = Path(sys.argv[1]), Path(sys.argv[2])
    lifeline.kill_group_with_parent(int(sys.argv[3]))
    os.chdir("/")  # so that no library finds anything of the working folder
    asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    contents: list[str] = asked["contents"]
    given = artefact.read(folder, card=cards.DRAFT)
    run = given.load()
    snapshot = Store.open(root).snapshot()
    readable = np.ones(len(contents), bool)
    found: list[npt.NDArray[np.float32]] = [np.zeros((0, len(given.classes)), np.float32)]
    batch: list[npt.NDArray[np.uint8]] = []
    with Progress(len(contents), "check", quiet=asked["quiet"]) as progress:
        for place, (_, picture) in enumerate(pictures.stream_pictures(snapshot, contents, given.size)):
            if isinstance(picture, str):
                readable[place] = False
            else:
                batch.append(picture)
            if batch and (len(batch) == BATCH or place == len(contents) - 1):
                found.append(run(np.stack(batch))[0])
                batch = []
            progress.advance(1, failed=int((~readable).sum()))
    np.savez(folder / ANSWERED, probabilities=np.concatenate(found), readable=readable)


if __name__ == "__main__":
    terminal.guard()
    terminal.guard_logs()
    try:
        main()
    except ColdframeError as error:
        terminal.echo(f"Error: {error}", err=True)
        sys.exit(1)
