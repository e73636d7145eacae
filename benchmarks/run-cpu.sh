#!/usr/bin/env bash
# Times this project, sparsify and PyTorch alternately on this machine and writes RESULTS.md and results.json.
#   run-cpu.sh            everything, about 15 minutes; keep the machine quiet
#   THREADS=2 ROUNDS=3    number of threads; how often each side is measured
#   SECONDS_EACH=5        seconds per measurement
#   PYTHON=python3        an interpreter that has peers/requirements.txt
#   OUT=DIR               where the two files go (default: here; then the table in ../docs/performance.md is written too)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
threads=${THREADS:-2}
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
python=${PYTHON:-python3}
out=$(mkdir -p "${OUT:-$here}" && cd "${OUT:-$here}" && pwd)
shapes=(2048x288x4608x32 1024x768x12288x16)
"$python" -c 'import torch, sparsify, safetensors' 2>/dev/null \
    || { echo "$python lacks a package; pip install -r $here/peers/requirements.txt" >&2; exit 1; }

. "$here/both-sides.sh"

on_cpus "${java[@]}" -cp "$jar" io.faithfulsae.benchmarks.PeerData "$work" "${shapes[@]}"
on_cpus "$python" "$here/peers/peers.py" check "$work"
for round in $(seq "$rounds"); do
    echo "round $round of $rounds: ours"
    on_cpus "${java[@]}" -jar "$jar" -p shape="$(IFS=,; echo "${shapes[*]}")" -f 1 -wi 1 -w "${seconds}s" \
        -i "$seconds" -r 1s -rf json -rff "$work/ours-$round.json" -v SILENT
    echo "round $round of $rounds: theirs"
    PEERS_SECONDS=$seconds on_cpus "$python" "$here/peers/peers.py" time "$work" "$work/peers-$round.json" "${shapes[@]}"
done
"$python" "$here/peers/report.py" "$work" "$rounds" "$out"
