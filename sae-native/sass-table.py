#!/usr/bin/env python3
"""Writes the table of what the compiler made of the kernels in docs/gpu.md.

sass-table.py FILE...                       prints it
sass-table.py --write docs/gpu.md FILE...   puts it between the markers

FILE: libsae_cuda.so from build-cuda.sh, or what nvcc -cubin makes of single sources. A line is a kernel with all its
shapes (template arguments), for sm_90a: the fewest and the most registers and instructions, and the most spills (STL and
LDL instructions) of a shape. Needs cuobjdump, nvdisasm and c++filt on PATH.
"""
import collections
import re
import subprocess
import sys

ARCHITECTURE = "sm_90a"
BEGIN, END = "<!-- sass-table.py: begin -->\n", "<!-- sass-table.py: end -->\n"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def registers(file):
    """mangled name -> registers; a cubin has one architecture and does not name it here"""
    found, architecture, name = {}, ARCHITECTURE, None
    for line in output("cuobjdump", "-res-usage", file).splitlines():
        if match := re.match(r"arch = (\S+)", line):
            architecture = match.group(1)
        elif match := re.match(r" Function (\S+?):?$", line):
            name = match.group(1)
        elif (match := re.match(r"\s+REG:(\d+)", line)) and architecture == ARCHITECTURE:
            found[name] = int(match.group(1))
    return found


def instructions(file):
    """mangled name -> how often each operation occurs"""
    counts, name, architecture = collections.defaultdict(collections.Counter), None, None
    for line in output("cuobjdump", "-sass", file).splitlines():
        if match := re.search(r"code for (\S+)", line):
            architecture = match.group(1)
        elif match := re.search(r"Function : (\S+)", line):
            name = match.group(1)
        elif architecture == ARCHITECTURE and (
                match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@\S+\s+)?([A-Z0-9_]+)", line)):
            counts[name][match.group(1)] += 1
    return counts


def kernels(files):
    """kernel -> (registers, instructions, spills) of its shapes"""
    shapes = collections.defaultdict(list)
    for file in files:
        counts = instructions(file)
        usage = registers(file)
        names = output("c++filt", "-p", *usage).splitlines() if usage else []
        for mangled, name in zip(usage, names):
            kernel = re.sub(r"<.*", "", name.replace("(anonymous namespace)::", "").replace("sae::cuda::", ""))
            operations = counts[mangled]
            shapes[kernel].append((usage[mangled], sum(operations.values()), operations["STL"] + operations["LDL"]))
    return shapes


def span(values):
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def table(files):
    lines = [f"| kernel for {ARCHITECTURE} | shapes | registers | instructions | most spills |", "|---|---|---|---|---|"]
    for kernel, shapes in sorted(kernels(files).items()):
        used, counted, spilled = zip(*shapes)
        lines.append(f"| `{kernel}` | {len(shapes)} | {span(used)} | {span(counted)} | {max(spilled)} |")
    return "\n".join(lines) + "\n"


def main(arguments):
    document = None
    if len(arguments) > 1 and arguments[0] == "--write":
        document, arguments = arguments[1], arguments[2:]
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    made = table(arguments)
    if document is None:
        print(made, end="")
        return 0
    with open(document, encoding="utf-8") as file:
        text = file.read()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    with open(document, "w", encoding="utf-8") as file:
        file.write(text[:start] + "\n" + made + "\n" + text[end:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
