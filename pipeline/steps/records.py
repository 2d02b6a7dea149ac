"""Records: what each step left when it last finished, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.steps.settings import declared, incidental
from store.rows import json_of
from store.store import Snapshot

NEVER = "never run"


@dataclass(frozen=True)
class Record:
    """The record of a step that has finished: its settings, and a digest of each thing that it read."""

    step: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]

    @classmethod
    def of(cls, moment: Snapshot | None, step: str, name: str) -> Record | None:
        """The record of a step and what it made; None where it has never finished.

        Raises:
            StoreDamaged: no step of coldframe has written it.
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
        )

    def difference(
        self, settings: Mapping[str, Any], inputs: Mapping[str, str], kind: type | None = None
    ) -> str | None:
        """What differs from it now, settings first; None where nothing does.

        Args:
            settings: those that the step would have now.
            inputs: digests of what it would read now; where there are none, those recorded do not matter.
            kind: the dataclass that declares the settings. Those that are incidental to it, and those that it does not have,
                do not matter; one that the record lacks had its default.
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
