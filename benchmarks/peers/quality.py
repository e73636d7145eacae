"""The peers' side of run-quality.sh: quality.py train DIR | report DIR RESULTS.md RESULTS.json

train reads DIR/rows and DIR/plan.json, which io.faithfulsae.benchmarks.Quality wrote, trains each case with the peer's own
trainer, and saves each SAE as the peer does. report turns DIR/quality.json into a table.
"""

import contextlib
import io
import json
import os
import statistics
import sys
from pathlib import Path

from results_file import commit, processor, write_section

PEERS = {"saelens": "SAELens", "dictionary_learning": "dictionary_learning"}
FAMILIES = {"topk": "TopK", "batchtopk": "BatchTopK", "matryoshka": "Matryoshka", "jumprelu": "JumpReLU", "relu": "ReLU",
            "gated": "gated"}
# key, heading, factor, digits, whether more is better (None: neither)
MEASURES = [("found", "features found, %", 100, 1, True), ("mean_max_cosine", "mean max cosine", 1, 3, True),
            ("fvu", "FVU", 1, 4, False), ("l0", "L0", 1, 2, None), ("dead", "dead latents, %", 100, 1, None)]


def train(directory):
    import torch
    from safetensors.torch import load_file

    import saes

    torch.set_num_threads(1)
    plan = json.loads((directory / "plan.json").read_text())
    size = plan["size"]
    batch, steps = size["batch"], size["steps"]
    files = sorted((directory / "rows").glob("*.safetensors"))
    rows = torch.cat([load_file(file)["activations"] for file in files])
    assert rows.shape == (batch * steps, size["dIn"]) and rows.dtype == torch.float32
    only = os.environ.get("CASES", "")  # some of them: names with commas
    for case in plan["cases"]:
        if only and case["name"] not in only.split(","):
            continue
        for seed in range(1, size["seeds"] + 1):
            folder = directory / "theirs" / f"{case['name']}-{seed}"
            torch.manual_seed(seed)
            batches = rows.split(batch)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                if case["peer"] == "saelens":
                    trainer = saes.saelens(
                        case["family"], size["dIn"], size["dSae"], len(rows), batch, plan["dead_after_batches"],
                        case["theirs"], batches)
                    trainer.fit().save_inference_model(folder)
                else:
                    dictionary_learning(saes, case, size, plan["dead_after_batches"], batches, folder)
            print(folder.name, flush=True)


def dictionary_learning(saes, case, size, dead_after_batches, batches, folder):
    """By its own loop, which also saves."""
    from dictionary_learning.training import trainSAE

    def trainer(**settings):
        return saes.dictionary_learning(case["family"], size["dIn"], size["dSae"], size["steps"],
                                        dead_after_batches * size["batch"], settings)

    trainSAE(batches, [{"trainer": trainer, **case["theirs"]}], steps=size["steps"], save_dir=str(folder), device="cpu")


def summary(results, peer, family, side, key):
    return [r[key] for r in results if (r["peer"], r["family"], r["side"]) == (peer, family, side)]


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def verdict(ours, theirs, more):
    """Whether the means differ by more than twice the standard error of their difference."""
    error = ((spread(ours) ** 2 + spread(theirs) ** 2) / len(ours)) ** 0.5
    difference = (statistics.mean(ours) - statistics.mean(theirs)) * (1 if more else -1)
    return "better" if difference > 2 * error else "worse" if difference < -2 * error else "same"


def report(directory, results_md, results_json):
    from importlib.metadata import version

    quality = json.loads((directory / "quality.json").read_text())
    size, results = quality["size"], quality["results"]
    true_l0 = results[0]["true_l0"]
    lines = [
        "# Measured on known features", "",
        "Written by `benchmarks/run-quality.sh`: each family that trains, ours with the peer's preset beside the peer's own trainer, on the",
        "same rows in the same order, with the same settings, each from its own initial weights. All SAEs are measured by `Metrics.groundTruth`, theirs",
        f"loaded from the folders that the peers saved. Mean ± standard deviation over {size['seeds']} seeds; *found*: true directions with a decoder",
        "row at a cosine above 0.9; *same*: the means differ by at most twice the standard error of the difference. README.md says why some differ.", "",
        f"- Recorded at commit {commit()}.",
        f"- Machine: {processor()}, one thread on each side.",
        f"- Rows: {size['features']} features in {size['dIn']} dimensions, {true_l0:.1f} active per row, some ten times as common as others, half of them in trees",
        "  of two levels, some with exclusive siblings, correlated, with noise and a constant vector.",
        f"- SAEs: d_sae {size['dSae']}, k and target L0 {quality['k']}; {size['steps']:,} steps of {size['batch']} rows ({size['steps'] * size['batch']:,}); {size['heldOut']:,} other rows to measure on.",
        f"- Theirs: SAELens {version('sae-lens')}, dictionary_learning {version('dictionary-learning')}.", "",
        "| preset | family | | " + " | ".join(heading for _, heading, *_ in MEASURES) + " |",
        "|---|---|---|" + "---|" * len(MEASURES),
    ]
    for peer in PEERS:
        for family in FAMILIES:
            cells = {"ours": [], "theirs": [], "": []}
            for key, _, factor, digits, more in MEASURES:
                values = {side: [factor * v for v in summary(results, peer, family, side, key)] for side in ("ours", "theirs")}
                for side, numbers in values.items():
                    cells[side].append(f"{statistics.mean(numbers):.{digits}f} ± {spread(numbers):.{digits}f}")
                cells[""].append("" if more is None else verdict(values["ours"], values["theirs"], more))
            for side in ("ours", "theirs", ""):
                name = {"": "ours is"}.get(side, side)
                first = f"{PEERS[peer]} | {FAMILIES[family]}" if side == "ours" else " | "
                lines.append(f"| {first} | {name} | " + " | ".join(cells[side]) + " |")
    write_section(results_md, lines)
    results_json.write_text(json.dumps({"commit": commit(), "machine": processor(), **quality}, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["train", directory]:
            train(Path(directory))
        case ["report", directory, results_md, results_json]:
            report(Path(directory), Path(results_md), Path(results_json))
        case _:
            sys.exit(__doc__)
