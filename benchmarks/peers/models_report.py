"""Writes the section of RESULTS.md on language models: models_report.py WORK ROUNDS THREADS NAME RESULTS.md"""

import json
import pathlib
import statistics
import sys

import torch
import transformers

from results_file import commit, processor, write_section

work, rounds, threads, name, results = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], pathlib.Path(sys.argv[5])
sides = {
    side: [json.loads((work / f"{side}-{r}.json").read_text()) for r in range(1, rounds + 1)]
    for side in ("ours", "float32", "bfloat16")
    if (work / f"{side}-1.json").exists()
}


def median(side, what):
    return f"{statistics.median(run[what] for run in sides[side]):,.0f}" if side in sides else "not measured"


lines = [
    "# Measured on language models", "",
    "Written by `benchmarks/run-models.sh`: tokens per second, ours and transformers' alternating, the same number of threads and the same model.",
    "harvest: the residual stream in the middle of 8 sequences of 128 tokens; only the blocks before it run on either side.",
    "generate: 32 texts of 128 tokens sampled from BOS with a cache, temperature 1, no top-p. Ours computes in float32.", "",
    f"- Recorded at commit {commit()}.",
    f"- Machine: {processor()}, {threads} threads on each side, {rounds} rounds in turn.",
    f"- Model: {name}. Theirs: transformers {transformers.__version__}, PyTorch {torch.__version__}.",
    f"- Peak resident memory: ours {max(r['peak_mib'] for r in sides['ours'])} MiB, theirs "
    f"{max(r['peak_mib'] for r in sides['float32'])} MiB (float32).", "",
    "| | ours, tokens/s | transformers fp32 | ours / theirs | transformers bf16 |", "|---|---|---|---|---|",
]
for what in ("harvest", "generate"):
    ratios = [ours[what] / theirs[what] for ours, theirs in zip(sides["ours"], sides["float32"])]
    lines.append(
        f"| {what} | {median('ours', what)} | {median('float32', what)} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | {median('bfloat16', what)} |"
    )
write_section(results, lines)
print("\n".join(lines[-4:]))
