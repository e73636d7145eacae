#!/usr/bin/env bash
# Trains each family here and by SAELens' and dictionary_learning's own trainers on activations whose features are known,
# and writes a section of RESULTS.md, and quality.json.
#   run-quality.sh                about 20 minutes of one processor
#   SIZE=128x64x256x256x2500x3x20000   features, d_in, d_sae, batch, steps, seeds, held-out rows
#   PYTHON=python3                an interpreter with torch, sae-lens 6.54 and dictionary-learning 0.1.0
#   WORK=DIR                      where rows and SAEs are kept (default: a temporary folder)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
size=${SIZE:-128x64x256x256x2500x3x20000}
python=${PYTHON:-python3}
jar=$here/target/benchmarks.jar
[ -f "$jar" ] || { echo "$jar is missing; mvn -DskipTests package" >&2; exit 1; }
work=${WORK:-}
[ -n "$work" ] || { work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; }
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
ours() {
    "${JAVA_HOME:+$JAVA_HOME/bin/}java" --enable-native-access=ALL-UNNAMED -Dsae.cpu.options=threads=1 -cp "$jar" \
        io.faithfulsae.benchmarks.Quality "$1" "$work" "$size"
}
ours prepare
ours train
"$python" "$here/peers/quality.py" train "$work"
ours evaluate
"$python" "$here/peers/quality.py" report "$work" "$here/RESULTS.md" "$here/quality.json"
