#!/usr/bin/env bash
# Times the exact matching of two SAEs' latents and SciPy's linear_sum_assignment alternately, on the same matrix of cosines.
#   run-matching.sh [D_SAE [D_IN [SHARED]]]      18432 2304 0.3; ROUNDS=3 PYTHON=python3; 5 GiB of memory, minutes per round
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
d_sae=${1:-18432}
d_in=${2:-2304}
shared=${3:-0.3}
rounds=${ROUNDS:-3}
python=${PYTHON:-python3}
jar=$here/target/benchmarks.jar
[ -f "$jar" ] || { echo "$jar is missing; mvn -DskipTests package" >&2; exit 1; }
"$python" -c 'import scipy' 2>/dev/null || { echo "$python lacks scipy; pip install scipy" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cpu=$("$python" -c "import os; print(min(os.sched_getaffinity(0)))")
"$python" "$here/peers/matching.py" make "$d_sae" "$d_in" "$shared" "$work/cosines.f32"
for round in $(seq "$rounds"); do
    taskset -c "$cpu" "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx4g -cp "$jar" \
        io.faithfulsae.benchmarks.MatchingSpeed "$d_sae" "$work/cosines.f32" "$work/ours-$round.json"
    taskset -c "$cpu" "$python" "$here/peers/matching.py" time "$d_sae" "$work/cosines.f32" "$work/theirs-$round.json"
done
"$python" "$here/peers/matching.py" report "$work" "$rounds" "$d_sae" "$d_in" "$shared" "$here/RESULTS.md"
