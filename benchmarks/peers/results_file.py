"""RESULTS.md with one section per measuring script, and descriptions of the machine and the commit."""

import os
import subprocess
from pathlib import Path


def write_section(results: Path, lines: list[str]) -> None:
    """Replaces the section with the same heading (the first line, "# ..."), or appends it."""
    sections: dict[str, list[str]] = {}
    for line in results.read_text().splitlines() if results.exists() else []:
        if line.startswith("# "):
            sections[line] = []
        if sections:
            sections[next(reversed(sections))].append(line)
    sections[lines[0]] = lines
    results.write_text("\n\n".join("\n".join(section).strip() for section in sections.values()) + "\n")


def commit() -> str:
    """The short commit of the measured sources; with "+changes" if tracked files differ from it, "unknown" outside a checkout."""
    here = Path(__file__).parent
    git = subprocess.run(["git", "describe", "--always", "--abbrev=7", "--dirty=+changes", "--exclude=*"], cwd=here, capture_output=True, text=True)
    return git.stdout.strip() or "unknown"


def processor() -> str:
    """The processor's name and the vector instruction sets that matter here."""
    cpu = Path("/proc/cpuinfo").read_text()
    name = next((l.split(":", 1)[1].strip() for l in cpu.splitlines() if l.startswith("model name")), "unknown processor")
    flags = next((l for l in cpu.splitlines() if l.startswith("flags")), "").split()
    isa = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{name} ({', '.join(isa)})"


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor()}, {os.cpu_count()} logical processors, {memory:.0f} GiB"
