#!/usr/bin/env python3
"""Writes the tables of expected times and of launches in docs/gpu.md, and that of targets in benchmarks/RESULTS.md.

gpu-table.py                  prints them
gpu-table.py --check FILE...  fails if a file has others between its markers
gpu-table.py --write FILE...  puts them there

Formulas, for B rows, d = d_in, m = d_sae, k: the least work of an operation with float32 master weights and moments; a
step is the others in sequence, without the auxiliary loss and the norm pass. With precision=bf16 what is gathered has 2
bytes, with fp32 4, and then an encode also gathers W_enc for the candidates that its screen leaves (select.cu).
"""
import os
import re
import sys

ROWS = 4096
SHAPES = {"GPT-2": (768, 12288, 16), "1B": (2048, 14336, 48), "3B": (3072, 18432, 64), "8B": (4096, 16384, 80),
          "wide": (4096, 131072, 64)}
# Anchors: bf16 8192^3 product (FLOP/s) and copy (bytes/s), both measured with PyTorch; reads from L2 are an assumption.
GPUS = {"H100": (790e12, 3.0e12, 5.5e12), "H200": (790e12, 4.3e12, 5.5e12)}
LAUNCH = 2e-6  # seconds a kernel of a graph takes at least; an assumption
TARGETS = {  # microseconds, H100
    ("GPT-2", "encode", "bf16"): 165, ("8B", "encode", "bf16"): 820, ("wide", "encode", "bf16"): 6400,
    ("8B", "decode, dz", "bf16"): 650, ("GPT-2", "step", "bf16"): 420, ("1B", "step", "bf16"): 1500,
    ("8B", "step", "bf16"): 4000,
    ("GPT-2", "encode", "fp32"): 210, ("8B", "encode", "fp32"): 2500, ("wide", "encode", "fp32"): 9000,
    ("8B", "decode, dz", "fp32"): 1300, ("GPT-2", "step", "fp32"): 520, ("1B", "step", "fp32"): 2750,
    ("8B", "step", "fp32"): 8000}
# Candidates a row whose float32 value is computed, of normal weights, as overflow_check.cpp prints them.
SETTLED = {"GPT-2": 17.9, "1B": 58.4, "3B": 86.3, "8B": 117.6, "wide": 103.5}
IN_FLIGHT = 396  # rows that settle at a time: 3 blocks on 132 multiprocessors
IN_L2 = 40e6  # bytes of W_enc that stay in L2
COUNTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "src/test/native/cuda/launch_count_check.cpp")
END = "<!-- gpu-table.py: end -->\n"


def operations(name, precision):
    """name -> parts in sequence, each (FLOP on tensor cores, FLOP, bytes of HBM, bytes of L2)"""
    d, m, k = SHAPES[name]
    width = 2 if precision == "bf16" else 4
    gather = width * ROWS * k * d  # the rows that a batch's kept values name
    encode = [(2 * ROWS * m * d, 2 * ROWS * m * d, 2 * ROWS * d + 2 * m * d + 8 * ROWS * k, 0)]
    if precision == "fp32":
        settled = SETTLED[name] * ROWS
        passes = 1 if 4 * m * d < IN_L2 else ROWS / IN_FLIGHT
        encode.append((0, 2 * settled * d, min(4 * settled * d, 4 * m * d * passes), 4 * settled * d))
    return {
        "encode": encode,
        "decode, dz": [(0, 4 * ROWS * k * d, width * m * d + 4 * ROWS * d + 8 * ROWS * k, gather)],
        "update": [(0, 4 * ROWS * k * d, 26 * 2 * m * d, 2 * gather + 26 * 2 * m * d)],
    }


def seconds(parts, gpu):
    flops, copy, cache = GPUS[gpu]
    return sum(max(tensor / flops, hbm / copy, l2 / cache) for tensor, _, hbm, l2 in parts)


def counts():
    """(shape, precision) -> kernels, from the test that counts them"""
    with open(COUNTS, encoding="utf-8") as file:
        found = re.findall(r'\{"([^"]+)", [\d, ]+, "(\w+)", \d+, \{([\d, ]+)\}, \{([\d, ]+)\}\}', file.read())
    return {(name, precision): [int(n) for n in (single + ", " + graph).split(",")]
            for name, precision, single, graph in found}


def tables():
    kernels = counts()
    lines = ["| shape, precision, operation | GB of HBM | GB of L2 | GFLOP | floor H100 | floor H200 | expected H100 | target |",
             "|---|---|---|---|---|---|---|---|"]
    for name, precision in [(name, precision) for precision in ("bf16", "fp32") for name in SHAPES]:
        works = operations(name, precision)
        works["step"] = [part for parts in works.values() for part in parts]
        for operation, parts in works.items():
            _, flop, hbm, l2 = (sum(part[i] for part in parts) for i in range(4))
            floors = [seconds(parts, gpu) for gpu in GPUS]
            expected = floors[0] + LAUNCH * kernels[name, precision][3] if operation == "step" else None
            target = TARGETS.get((name, operation, precision))
            lines.append(f"| {name}, {precision}, {operation} | {hbm / 1e9:.2f} | {l2 / 1e9:.2f} | {flop / 1e9:.0f} "
                         f"| {floors[0] * 1e6:.0f} µs | {floors[1] * 1e6:.0f} µs "
                         f"| {'' if expected is None else f'{expected * 1e6:.0f} µs'} "
                         f"| {'' if target is None else f'{target} µs'} |")
    lines += ["", "| shape, precision | without branches | graph, no auxiliary loss | nobody dead | dead latents | all dead | and the norm |",
              "|---|---|---|---|---|---|---|"]
    for (name, precision), (_, before, *graph) in kernels.items():
        lines.append(f"| {name}, {precision} | {before} | " + " | ".join(map(str, graph)) + " |")
    return "\n".join(lines) + "\n"


def target_table():
    """Floors and targets of both precisions side by side, where there are any."""
    lines = ["| d_in x d_sae x k | operation | floor, bf16 | target, bf16 | floor, fp32 | target, fp32 |", "|---|---|---|---|---|---|"]
    for operation in ("encode", "decode, dz", "step"):
        for name, shape in SHAPES.items():
            if (name, operation, "bf16") not in TARGETS:
                continue
            cells = ["x".join(map(str, shape)), operation]
            for precision in ("bf16", "fp32"):
                works = operations(name, precision)
                parts = works.get(operation) or [part for parts in works.values() for part in parts]
                cells += [f"{seconds(parts, 'H100') * 1e6:,.0f} µs", f"{TARGETS[name, operation, precision]:,} µs"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# What stands between a marker and END.
WRITERS = {"<!-- gpu-table.py: begin -->\n": tables, "<!-- gpu-table.py: targets -->\n": target_table}


def with_tables(text):
    for begin, write in WRITERS.items():
        if begin in text:
            start = text.index(begin) + len(begin)
            return text[:start] + "\n" + write() + "\n" + text[text.index(END, start):]
    raise SystemExit("gpu-table.py: expected a file with one of its markers, got none")


def main(arguments):
    if not arguments:
        print(tables() + "\n" + target_table(), end="")
        return 0
    if len(arguments) < 2 or arguments[0] not in ("--check", "--write"):
        print(__doc__, file=sys.stderr)
        return 2
    for path in arguments[1:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wanted = with_tables(text)
        if arguments[0] == "--write":
            with open(path, "w", encoding="utf-8") as file:
                file.write(wanted)
        elif wanted != text:
            print(f"{path}: expected the tables that sae-native/gpu-table.py prints; run it with --write", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
