#!/usr/bin/env bash
# Times a training step and encoding of each family here, in SAELens and in dictionary_learning, alternately on this machine,
# and writes a section of RESULTS.md, and families.json.
#   run-families.sh                about 15 minutes; keep the machine quiet
#   THREADS=2 ROUNDS=5             number of threads; how often each side is measured
#   SHAPES="2048x288x4608x32 1024x768x12288x16"
#   PYTHON=python3                 an interpreter with torch, sae-lens 6.54 and dictionary-learning 0.1.0
#   OUT=DIR                        where RESULTS.md and families.json go (default: here)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
threads=${THREADS:-2}
rounds=${ROUNDS:-5}
read -ra shapes <<< "${SHAPES:-2048x288x4608x32 1024x768x12288x16}"
python=${PYTHON:-python3}
out=$(mkdir -p "${OUT:-$here}" && cd "${OUT:-$here}" && pwd)
. "$here/both-sides.sh"

peers() { PYTHONWARNINGS=ignore PEERS_SECONDS=0.5 on_cpus "$python" "$here/peers/families.py" "$@"; }
# One JVM for all of a benchmark's lines: what is timed is native code, and a fork for each would take half of the time.
ours() {
    on_cpus "${java[@]}" -jar "$jar" "$1" -p shape="$(IFS=,; echo "${shapes[*]}")" "${@:3}" \
        -f 0 -wi 1 -w 300ms -i 2 -r 500ms -rf json -rff "$2" -v SILENT
}

on_cpus "${java[@]}" -cp "$jar" io.faithfulsae.benchmarks.FamilyData "$work" "${shapes[@]}"
peers check "$work"
for round in $(seq "$rounds"); do
    echo "round $round of $rounds: ours"
    ours TrainStepBenchmark.step "$work/steps-$round.json" -p recipe=SAELENS,DICTIONARY_LEARNING \
        -p activation=topk,batchtopk,matryoshka,jumprelu,relu,relu-sparse,gated
    ours EncodeBenchmark.encode "$work/encode-$round.json" -p activation=topk,jumprelu,relu-sparse,gated
    echo "round $round of $rounds: theirs"
    peers time "$work" "$work/peers-$round.json" "${shapes[@]}"
done
"$python" "$here/peers/families.py" report "$work" "$rounds" "$out/RESULTS.md" "$out/families.json"
