#!/usr/bin/env bash
# Times this project and transformers alternately on a language model, in fp32 with the same number of threads: tokens per
# second of reading the residual stream in the middle, and of sampling 32 texts of 128 tokens from BOS with a cache.
# transformers also runs in bf16, to show what the processor can do. Writes the section "language models" of RESULTS.md.
#   run-models.sh MODEL_DIR NAME     THREADS=2 ROUNDS=3 SECONDS_EACH=10 PYTHON=python3 as in run-cpu.sh; quiet machine
#                                    BF16=0 skips bf16, which takes many minutes on processors that are slow at it
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=${1:?usage: run-models.sh MODEL_DIR NAME}
name=${2:?usage: run-models.sh MODEL_DIR NAME}
threads=${THREADS:-2}
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-10}
python=${PYTHON:-python3}
dtypes="float32 bfloat16"
[ "${BF16:-1}" != 0 ] || dtypes=float32
jar=$here/target/benchmarks.jar
[ -f "$jar" ] || { echo "$jar is missing; mvn -DskipTests package" >&2; exit 1; }
"$python" -c 'import torch, transformers' 2>/dev/null \
    || { echo "$python lacks torch or transformers; pip install torch transformers" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cpus=$("$python" -c "import os; print(','.join(map(str, sorted(os.sched_getaffinity(0))[:$threads])))")
for round in $(seq "$rounds"); do
    taskset -c "$cpus" "${JAVA_HOME:+$JAVA_HOME/bin/}java" --enable-native-access=ALL-UNNAMED -cp "$jar" \
        io.faithfulsae.benchmarks.ModelSpeed "$model" "$threads" "$seconds" "$work/ours-$round.json"
    for dtype in $dtypes; do
        taskset -c "$cpus" "$python" "$here/peers/models.py" "$model" "$threads" "$seconds" "$work/$dtype-$round.json" "$dtype" 2>/dev/null
    done
done
"$python" "$here/peers/models_report.py" "$work" "$rounds" "$threads" "$name" "$here/RESULTS.md"
