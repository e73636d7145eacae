#!/usr/bin/env python3
"""Turns what run-cpu.sh measured into RESULTS.md and results.json: report.py WORK ROUNDS OUT.

Where OUT is the benchmarks' own folder, the table in docs/performance.md is written as well.
"""

import json
import statistics
import sys
from pathlib import Path

from results_file import commit, machine, write_section

# our benchmark, recipe; what it is compared with
COMPARISONS = [
    ("TrainStepBenchmark.step", "SPARSIFY", ["sparsify step", "sparsify step, fused Adam"]),
    ("TrainStepBenchmark.step", "STUDY", ["dense torch step", "dense torch step, fused Adam"]),
    ("EncodeBenchmark.encode", None, ["sparsify encode", "our sgemm", "torch sgemm", "numpy (OpenBLAS) sgemm"]),
    ("DecodeBenchmark.decode", None, ["sparsify decode"]),
]
NAMES = {
    ("TrainStepBenchmark.step", "SPARSIFY"): "train step, sparsify's recipe",
    ("TrainStepBenchmark.step", "STUDY"): "train step, the study's recipe",
    ("EncodeBenchmark.encode", None): "encode + top-k",
    ("DecodeBenchmark.decode", None): "decode",
}
# the lines that docs/performance.md repeats
PAGE_LINES = {
    "train step, sparsify's recipe": ["sparsify step", "sparsify step, fused Adam"],
    "train step, the study's recipe": ["dense torch step"],
    "encode + top-k": ["sparsify encode", "our sgemm"],
    "decode": ["sparsify decode"],
}
PAGE_BEGIN = "<!-- written by benchmarks/run-cpu.sh -->"
PAGE_END = "<!-- end -->"


def read_ours(path: Path) -> dict:
    times = {}
    for entry in json.loads(path.read_text()):
        name = ".".join(entry["benchmark"].split(".")[-2:])
        key = (name, entry["params"].get("recipe"), entry["params"]["shape"])
        times[key] = entry["primaryMetric"]["score"]
        assert entry["primaryMetric"]["scoreUnit"] == "ms/op"
    return times


def update_page(page: Path, facts: dict, results: list[dict]) -> None:
    lines = [
        f"Recorded at commit {facts['commit']}. {facts['machine']}, {facts['threads']} threads on each side; theirs / ours from one run, so above 1 means ours is faster:",
        "",
        "| rows x d_in x d_sae x k | operation | rows/s | against | theirs / ours |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        if r["against"] in PAGE_LINES.get(r["operation"], []):
            lines.append(
                f"| {r['shape']} | {r['operation']} | {r['rows_per_second']:,.0f} | {r['against']} | {r['ratio']:.2f} |"
            )
    text = page.read_text()
    head, rest = text.split(PAGE_BEGIN)
    tail = rest.split(PAGE_END)[1]
    page.write_text(head + PAGE_BEGIN + "\n" + "\n".join(lines) + "\n" + PAGE_END + tail)


def main() -> None:
    work, rounds, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    ours = [read_ours(work / f"ours-{r}.json") for r in range(1, rounds + 1)]
    peers = [json.loads((work / f"peers-{r}.json").read_text()) for r in range(1, rounds + 1)]
    device = json.loads((work / "ours.json").read_text())["device"]
    results = []
    for shape in peers[0]["milliseconds"]:
        rows = int(shape.split("x")[0])
        for benchmark, recipe, others in COMPARISONS:
            mine = [r[benchmark, recipe, shape] for r in ours]
            for other in others:
                if other == "our sgemm":
                    theirs = [r["EncodeBenchmark.sgemm", None, shape] for r in ours]
                else:
                    theirs = [r["milliseconds"][shape][other] for r in peers]
                ratios = [t / m for t, m in zip(theirs, mine)]
                results.append(
                    {
                        "shape": shape,
                        "operation": NAMES[benchmark, recipe],
                        "ms": statistics.median(mine),
                        "rows_per_second": 1000 * rows / statistics.median(mine),
                        "against": other,
                        "their_ms": statistics.median(theirs),
                        "ratio": statistics.median(ratios),
                        "ratios": ratios,
                    }
                )
    facts = {
        "commit": commit(),
        "machine": machine(),
        "threads": peers[0]["threads"],
        "rounds": rounds,
        "torch": peers[0]["torch"],
        "numpy": peers[0]["numpy"],
        "our_backend": json.loads(device) if device.startswith("{") else device,
    }
    (out / "results.json").write_text(json.dumps({**facts, "results": results}, indent=2) + "\n")
    text = [
        "# Measured on the CPU",
        "",
        "Written by `benchmarks/run-cpu.sh`; [README.md](README.md) says what each line computes. Ratios are theirs over",
        "ours, from one round each (above 1: ours is faster): median and range over the rounds. Only ratios of one run",
        "can be compared; times differ from machine to machine.",
        "",
        f"- Recorded at commit {facts['commit']}.",
        f"- Machine: {facts['machine']}; {facts['threads']} threads on each side, {rounds} rounds in turn.",
        f"- Ours: `{device}`",
        f"- Theirs: PyTorch {facts['torch']}, numpy {facts['numpy']}, sparsify as in peers/requirements.txt.",
        "",
        "| rows x d_in x d_sae x k | operation | ours, ms | rows/s | against | theirs, ms | theirs / ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        low, high = min(r["ratios"]), max(r["ratios"])
        text.append(
            f"| {r['shape']} | {r['operation']} | {r['ms']:.2f} | {r['rows_per_second']:,.0f} | {r['against']} "
            f"| {r['their_ms']:.2f} | {r['ratio']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    write_section(out / "RESULTS.md", text)
    print("\n".join(text))
    here = Path(__file__).resolve().parent.parent
    if out == here:
        update_page(here.parent / "docs/performance.md", facts, results)


if __name__ == "__main__":
    main()
