#!/usr/bin/env python3
"""Writes the tables of expected times and of launches in docs/gpu.md.

gpu-table.py           prints them
gpu-table.py --check docs/gpu.md    fails if the file has others
gpu-table.py --write docs/gpu.md    puts them between the markers

Formulas, for B rows, d = d_in, m = d_sae, k: the least work of an operation with bfloat16 operands and float32 master
weights and moments; a step is the three in sequence, without the auxiliary loss and the norm pass.
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
TARGETS = {("GPT-2", "encode"): 165, ("8B", "encode"): 820, ("wide", "encode"): 6400, ("8B", "decode, dz"): 650,
           ("GPT-2", "step"): 420, ("1B", "step"): 1500, ("8B", "step"): 4000}  # microseconds, H100
COUNTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "src/test/native/cuda/launch_count_check.cpp")
BEGIN, END = "<!-- gpu-table.py: begin -->\n", "<!-- gpu-table.py: end -->\n"


def operations(d, m, k):
    """name -> (FLOP on tensor cores, FLOP, bytes of HBM, bytes of L2)"""
    gather = 2 * ROWS * k * d  # the rows that a batch's kept values name, in bf16
    return {
        "encode": (2 * ROWS * m * d, 2 * ROWS * m * d, 2 * ROWS * d + 2 * m * d + 8 * ROWS * k, 0),
        "decode, dz": (0, 4 * ROWS * k * d, 2 * m * d + 4 * ROWS * d + 8 * ROWS * k, gather),
        "update": (0, 4 * ROWS * k * d, 26 * 2 * m * d, 2 * gather + 26 * 2 * m * d),
    }


def seconds(work, gpu):
    tensor, _, hbm, l2 = work
    flops, copy, cache = GPUS[gpu]
    return max(tensor / flops, hbm / copy, l2 / cache)


def counts():
    """(shape, precision) -> kernels, from the test that counts them"""
    with open(COUNTS, encoding="utf-8") as file:
        found = re.findall(r'\{"([^"]+)", [\d, ]+, "(\w+)", \d+, \{([\d, ]+)\}, \{([\d, ]+)\}\}', file.read())
    return {(name, precision): [int(n) for n in (single + ", " + graph).split(",")]
            for name, precision, single, graph in found}


def tables():
    kernels = counts()
    lines = ["| shape, operation | GB of HBM | GB of L2 | GFLOP | floor H100 | floor H200 | expected H100 | target |",
             "|---|---|---|---|---|---|---|---|"]
    for name, shape in SHAPES.items():
        works = operations(*shape)
        rows = [(operation, work, [seconds(work, gpu) for gpu in GPUS]) for operation, work in works.items()]
        step = tuple(sum(work[i] for work in works.values()) for i in range(4))
        rows.append(("step", step, [sum(row[2][i] for row in rows) for i in range(len(GPUS))]))
        for operation, (_, flop, hbm, l2), floors in rows:
            expected = floors[0] + LAUNCH * kernels[name, "bf16"][3] if operation == "step" else None
            target = TARGETS.get((name, operation))
            lines.append(f"| {name}, {operation} | {hbm / 1e9:.2f} | {l2 / 1e9:.2f} | {flop / 1e9:.0f} "
                         f"| {floors[0] * 1e6:.0f} µs | {floors[1] * 1e6:.0f} µs "
                         f"| {'' if expected is None else f'{expected * 1e6:.0f} µs'} "
                         f"| {'' if target is None else f'{target} µs'} |")
    lines += ["", "| shape, precision | without branches | graph, no auxiliary loss | nobody dead | dead latents | all dead | and the norm |",
              "|---|---|---|---|---|---|---|"]
    for (name, precision), (_, before, *graph) in kernels.items():
        lines.append(f"| {name}, {precision} | {before} | " + " | ".join(map(str, graph)) + " |")
    return "\n".join(lines) + "\n"


def main(arguments):
    if not arguments:
        print(tables(), end="")
        return 0
    if len(arguments) != 2 or arguments[0] not in ("--check", "--write"):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[1], encoding="utf-8") as file:
        text = file.read()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    wanted = text[:start] + "\n" + tables() + "\n" + text[end:]
    if arguments[0] == "--write":
        with open(arguments[1], "w", encoding="utf-8") as file:
            file.write(wanted)
    elif wanted != text:
        print(f"{arguments[1]}: expected the tables that sae-native/gpu-table.py prints; run it with --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
