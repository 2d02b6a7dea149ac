"""Records: what each step left when it last finished, and what has changed since then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.steps.settings import declared, incidental
from store.rows import json_of
from store.store import Snapshot

NEVER = "never run"


@dataclass(frozen=True)
class Record:
    """The record of a finished step: its settings, and a digest of each of its inputs."""

    step: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]
    created_at: datetime | None

    @classmethod
    def of(cls, moment: Snapshot | None, step: str, name: str) -> Record | None:
        """The record of a step and what it made; None if it never finished.

        Raises:
            StoreDamaged: the record was not written by a step of coldframe.
        """
        rows = moment.rows("steps/steps/step", step=step, name=name) if moment else []
        if not rows:
            return None
        where = f"step {' '.join(filter(None, (step, name)))}"
        return cls(
            step,
            name,
            json_of(rows[0]["settings"], f"the settings of {where}"),
            json_of(rows[0]["inputs"], f"the inputs of {where}"),
            rows[0]["created_at"],
        )

    def ahead(self) -> str | None:
        """A sentence if the record is dated after now, as by a clock that was ahead: nothing can have happened since it."""
        if self.created_at is not None and self.created_at <= datetime.now(UTC):
            return None
        return f"a clock was ahead: it last finished at {self.created_at}, which is still to come"

    def difference(
        self, settings: Mapping[str, Any], inputs: Mapping[str, str], kind: type | None = None
    ) -> str | None:
        """What differs from the record now, settings first; None if nothing does.

        Args:
            settings: the settings that the step would have now.
            inputs: digests of what it would read now; if empty, the recorded digests are not compared.
            kind: the dataclass that declares the settings. Settings that it calls incidental or does not have are not compared;
                one that the record lacks had its default.
        """
        now: dict[str, Any] = json.loads(json.dumps(settings))
        before = dict(self.settings)
        if kind is not None:
            aside = incidental(kind)
            defaults = json.loads(json.dumps({one.name: one.default for one in declared(kind)}))
            now = {name: value for name, value in now.items() if name not in aside}
            before = {name: value for name, value in (defaults | before).items() if name in now}
        changed = _differing(before, now)
        if changed:
            return f"settings changed: {', '.join(changed)}"
        moved = _differing(self.inputs, inputs) if inputs else []
        return f"changed since: {', '.join(moved)}" if moved else None


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
