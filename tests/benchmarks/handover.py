"""From a head to one model in three formats, on real photographs: does each predict what was evaluated?

    python -m tests.benchmarks.handover [FOLDER [WEIGHTS]]

FOLDER holds ``metadata.csv`` (columns of Rare Species) and ``images/``; WEIGHTS are EfficientNetV2B0's without its top. The
head is trained, fine-tuned and exported; each artefact predicts the test photographs in a fresh process, and is compared with the
evaluation of the fine-tuned run in float32. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.heads import EMBEDDER, SHARED, coldframe, curate

FORMATS = ("keras", "onnx", "openvino")
CLOSE = 1e-3  # two best probabilities that are no farther apart may change places


def main() -> None:
    """Make, export, predict, compare, print."""
    given = sys.argv[1:]
    folder = Path(given[0]) if given else SHARED / "data" / "wildlife"
    weights = Path(given[1]) if len(given) > 1 else SHARED / "models" / "efficientnetv2b0_notop.weights.h5"
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "store"
        columns = ("--id", "rare_species_id", "--path", "file_path", "--label", "family")
        coldframe(store, "ingest", folder / "metadata.csv", "--images", folder / "images", *columns)
        coldframe(store, "embed", EMBEDDER, "--weights", weights)
        curate(store, "default", 0)
        coldframe(store, "train", "--head", "mlp", "--embedder", EMBEDDER)
        run = coldframe(store, "finetune", "mlp").decode().strip()
        evaluated = json.loads(coldframe(store, "evaluate", run, "--format", "json"))[0]["accuracy"]
        query = (
            "select i.path, p.predicted, p.label from predictions p join images i using (image_id) "
            f"where p.run_id = '{run}' and p.evaluation = 'plain' and p.split = 'test' order by i.path"
        )
        tested = json.loads(coldframe(store, "sql", query, "--format", "json"))
        photographs = [folder / "images" / row["path"] for row in tested]
        result: dict[str, float] = {"evaluated": round(evaluated, 4), "photographs": len(tested)}
        for name in FORMATS:
            made = Path(work) / name
            coldframe(store, "export", run, "--format", name, "--output", made)
            said = coldframe(store, "predict", made, *photographs, "--top", 2, "--format", "ndjson").decode()
            best: dict[str, list[dict[str, float]]] = {}
            for row in map(json.loads, said.splitlines()):
                best.setdefault(row["path"], []).append(row)
            differing = [
                str(path)
                for path, row in zip(photographs, tested, strict=True)
                if best[str(path)][0]["label"] != row["predicted"]
                and best[str(path)][0]["probability"] - best[str(path)][1]["probability"] > CLOSE
            ]
            right = sum(
                best[str(path)][0]["label"] == row["label"] for path, row in zip(photographs, tested, strict=True)
            )
            printed = json.loads((made / "card.json").read_text())["artefact"]["accuracy"]
            print(
                f"{name}: {right / len(tested):.4f} right, its card says {printed:.4f}; differing: {differing}",
                flush=True,
            )
            result |= {f"{name}_accuracy": round(right / len(tested), 4), f"{name}_differing": len(differing)}
            result[f"{name}_card_accuracy"] = round(printed, 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
