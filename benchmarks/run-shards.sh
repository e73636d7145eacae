#!/usr/bin/env bash
# Times writing and reading activation shards and compares with cat of the same files, first from disk, then from memory.
#   run-shards.sh DIR        MIB=2048   DIR is on the disk to measure; 2 * MIB are written there and deleted; quiet machine
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: run-shards.sh DIR}
mib=${MIB:-2048}
jar=$here/target/benchmarks.jar
classpath=${CLASSPATH:-$jar}
mkdir -p "$dir"
work=$(mktemp -d "$dir/shards.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Drops the files from the page cache, which needs no root.
forget() { for file in "$1"/*.safetensors; do dd if="$file" iflag=nocache count=0 2>/dev/null; done; }
ours() { "${JAVA_HOME:+$JAVA_HOME/bin/}java" -cp "$classpath" io.faithfulsae.benchmarks.ShardSpeed "$@"; }
peer() {
    local bytes seconds
    bytes=$(du -cb "$1"/*.safetensors | tail -n 1 | cut -f 1)
    seconds=$( { TIMEFORMAT=%R; time cat "$1"/*.safetensors >/dev/null; } 2>&1)
    awk -v b="$bytes" -v s="$seconds" 'BEGIN { printf "cat: %.2f GB/s, %.2f s\n", b / s * 1e-9, s }'
}
for precision in BF16 FP32; do
    echo "== $precision"
    ours write "$work/$precision" "$precision" "$mib"
    sync
    for round in 1 2; do
        forget "$work/$precision"; echo "from the disk, $(peer "$work/$precision")"
        forget "$work/$precision"; echo "from the disk, $(ours read "$work/$precision" 1)"
    done
    echo "from memory, $(peer "$work/$precision")"
    echo "from memory, $(peer "$work/$precision")"
    ours read "$work/$precision" 4 | sed 's/^/from memory, /'
    rm -rf "${work:?}/$precision"
done
