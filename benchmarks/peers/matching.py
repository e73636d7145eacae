"""The matching of MatchingSpeed.java by SciPy.

matching.py make D_SAE D_IN SHARED OUT.f32     cosines of two noisy dictionaries that share a fraction of their rows
matching.py time D_SAE IN.f32 OUT.json         linear_sum_assignment on them
matching.py report WORK ROUNDS D_SAE D_IN SHARED RESULTS.md
"""

import json
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment

from results_file import commit, machine, write_section


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make(d_sae, d_in, shared, out):
    random = np.random.default_rng(1)
    first = unit(random.standard_normal((d_sae, d_in), dtype=np.float32))
    second = unit(random.standard_normal((d_sae, d_in), dtype=np.float32))
    common = int(d_sae * shared)
    noise = random.uniform(0.3, 1.5, (common, 1)).astype(np.float32)
    second[:common] = unit(first[:common] + noise * second[:common])
    (first @ second[random.permutation(d_sae)].T).astype("<f4").tofile(out)


def timed(d_sae, cosines, out):
    matrix = np.fromfile(cosines, "<f4").reshape(d_sae, d_sae)
    start = time.perf_counter()
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    total = float(matrix[rows, columns].astype(np.float64).sum())
    Path(out).write_text(json.dumps({"seconds": seconds, "sum": total, "peak_mib": peak}))


def report(work, rounds, d_sae, d_in, shared, results):
    ours, theirs = (
        [json.loads((Path(work) / f"{side}-{r}.json").read_text()) for r in range(1, rounds + 1)] for side in ("ours", "theirs")
    )
    ratios = [t["seconds"] / o["seconds"] for o, t in zip(ours, theirs)]
    worst = max(abs(o["sum"] - t["sum"]) for o, t in zip(ours, theirs))
    lines = [
        "# Measured on matching",
        "",
        "Written by `benchmarks/run-matching.sh`: the assignment of largest sum between the latents of two SAEs, from the same",
        "matrix of cosines, ours and SciPy's linear_sum_assignment in turn, one thread each.",
        "",
        f"- Recorded at commit {commit()}.",
        f"- Machine: {machine()}, {rounds} rounds in turn. Theirs: SciPy {scipy.__version__}, numpy {np.__version__}.",
        f"- Cosines of two random dictionaries of {d_sae:,} rows in {d_in:,} dimensions, {shared:.0%} of them in both, with noise.",
        f"- Largest difference of the two sums: {worst:.1e} of {theirs[0]['sum']:,.3f}.",
        f"- Peak resident memory: ours {max(o['peak_mib'] for o in ours):,} MiB, theirs {max(t['peak_mib'] for t in theirs):,} MiB.",
        "",
        "| d_sae | ours, s | SciPy, s | SciPy / ours |",
        "|---|---|---|---|",
        f"| {d_sae:,} | {statistics.median(o['seconds'] for o in ours):.2f} | {statistics.median(t['seconds'] for t in theirs):.1f} "
        f"| {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) |",
    ]
    write_section(Path(results), lines)
    print(lines[-1])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", d_sae, d_in, shared, out]:
            make(int(d_sae), int(d_in), float(shared), out)
        case ["time", d_sae, cosines, out]:
            timed(int(d_sae), cosines, out)
        case ["report", work, rounds, d_sae, d_in, shared, results]:
            report(work, int(rounds), int(d_sae), int(d_in), float(shared), results)
        case _:
            sys.exit(__doc__)
