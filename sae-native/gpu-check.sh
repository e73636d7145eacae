#!/usr/bin/env bash
# Checks the CUDA backend on a machine that has a GPU but neither Java nor a network, and keeps the result beside the sources.
#   gpu-check.sh --pack DIR   here: a Java runtime, the tests and the native libraries in DIR (at most 64 MiB)
#   gpu-check.sh --run DIR    there, in the same tree: builds libsae_cuda.so (or takes the packed one), then runs
#                             backend_check, compute-sanitizer over it, and the conformance suite with the backend forced;
#                             writes gpu-check/<gpu>.txt; ends with 1 when something failed
#   gpu-check.sh --hash       the sha256 of the CUDA sources
#   gpu-check.sh --status     says whether gpu-check/ holds a passed run of exactly these sources; always ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

limit_mib=64
console=org.junit.platform:junit-platform-console-standalone:1.14.4

sources_hash() {
    find src/main/native/cuda src/main/native/include src/main/native/common build-cuda.sh -type f \
        \( -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name build-cuda.sh \) -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

status() {
    local hash recorded=0 file
    hash=$(sources_hash)
    for file in gpu-check/*.txt; do
        if [ -f "$file" ] && grep -qx "sources: $hash" "$file"; then
            recorded=1
            echo "gpu-check: $file: $(grep '^result: ' "$file") for these CUDA sources ($(grep '^gpu: ' "$file"))"
        fi
    done
    if [ "$recorded" = 0 ]; then
        echo "gpu-check: NOT RUN: these CUDA sources (${hash:0:16}) have not been run on a GPU; mend: sae-native/gpu-check.sh --run DIR on a GPU machine"
    fi
}

pack() {
    local dir java_home
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    java_home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
    rm -rf "${dir:?}/java" "$dir/jars" "$dir/native"
    mkdir -p "$dir/jars" "$dir/native"

    # Java: our jars with their dependencies, the tests, and JUnit's launcher. Without OpenBLAS: the CPU is not checked.
    (cd .. && mvn -q -B -pl sae-native -am -DskipTests package dependency:copy-dependencies -DincludeScope=test \
        -DoutputDirectory="$dir/jars" -DexcludeArtifactIds=openblas \
        -DexcludeGroupIds=org.junit.jupiter,org.junit.platform,org.opentest4j,org.apiguardian)
    (cd .. && mvn -q -B -N dependency:copy -Dartifact="$console" -DoutputDirectory="$dir/jars")
    cp target/sae-native-*.jar "$dir/jars/"
    cp -r target/test-classes "$dir/jars/sae-native-test-classes"
    "$java_home/bin/jlink" --output "$dir/java" --compress=2 --strip-java-debug-attributes --no-header-files --no-man-pages \
        --add-modules java.base,java.logging,java.management,java.net.http,java.sql,java.xml,jdk.unsupported

    # Native: a driver without Java, and the library in case there is no nvcc over there.
    "${CXX:-g++}" -std=c++17 -O1 -static-libstdc++ -static-libgcc -Isrc/main/native/include \
        -o "$dir/native/backend_check" src/test/native/cuda/backend_check.cpp -ldl
    ./build-cuda.sh target/native/cuda
    if [ -f target/native/cuda/libsae_cuda.so ]; then
        cp target/native/cuda/libsae_cuda.so "$dir/native/"
    fi
    sources_hash >"$dir/native/sources.sha256"

    local mib
    mib=$(du -sm --apparent-size "$dir" | cut -f1)
    echo "gpu-check: packed $mib MiB in $dir"
    if [ "$mib" -gt "$limit_mib" ]; then
        echo "gpu-check: expected at most $limit_mib MiB" >&2
        exit 1
    fi
}

# ---- on the GPU machine ----

failed=0
report=

note() { echo "$*" | tee -a "$report"; }

# check NAME COMMAND...: one line in the report, and the end of the output where it failed
check() {
    local name=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        note "PASSED $name"
    else
        note "FAILED $name: $*"
        tail -n 40 "$log" | sed 's/^/    /' | tee -a "$report"
        failed=1
    fi
    rm -f "$log"
}

run() {
    local dir library gpu tool sanitizer
    dir=$(cd "$1" && pwd)
    if ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0); then
        echo "gpu-check: expected a GPU that nvidia-smi can see, got none" >&2
        exit 1
    fi
    mkdir -p gpu-check
    report=gpu-check/$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-').txt
    : >"$report"
    note "sources: $(sources_hash)"
    note "gpu: $gpu, driver $(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)"
    note "date: $(date -u +%Y-%m-%d)"

    ./build-cuda.sh "$dir/build" | tee "$dir/build.log"
    library=$dir/build/libsae_cuda.so
    if [ -f "$library" ]; then
        note "library: built here, $(sed -n 's/.*\(CUDA [0-9.]*\).*/\1/p' "$dir/build.log")"
    elif [ -f "$dir/native/libsae_cuda.so" ] && [ "$(cat "$dir/native/sources.sha256")" = "$(sources_hash)" ]; then
        library=$dir/native/libsae_cuda.so
        note "library: packed, of the same sources"
    else
        echo "gpu-check: expected nvcc, or a packed library of these sources, got neither; mend: pack again" >&2
        exit 1
    fi

    check "backend_check" "$dir/native/backend_check" "$library" --large
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1 || true)
    for tool in memcheck racecheck initcheck synccheck; do
        if [ -n "$sanitizer" ]; then
            check "compute-sanitizer $tool" "$sanitizer" --tool "$tool" --error-exitcode 1 \
                "$dir/native/backend_check" "$library"
        else
            note "SKIPPED compute-sanitizer $tool: it is not installed"
        fi
    done
    check "conformance suite" "$dir/java/bin/java" --enable-native-access=ALL-UNNAMED \
        -Dsae.backend=cuda -Dsae.cuda.library="$library" -Dorg.bytedeco.javacpp.cachedir="$dir/cache" \
        -cp "$dir/jars/sae-native-test-classes:$dir/jars/*" org.junit.platform.console.ConsoleLauncher execute \
        --select-class=io.faithfulsae.jni.CudaBackendTest --fail-if-no-tests --disable-banner --details=tree
    note "SKIPPED benchmark: this tree has none"

    if [ "$failed" = 0 ]; then
        note "result: passed"
    else
        note "result: failed"
    fi
    exit "$failed"
}

case "${1:-} $#" in
"--pack 2") pack "$2" ;;
"--run 2") run "$2" ;;
"--hash 1") sources_hash ;;
"--status 1") status ;;
*)
    echo "usage: $0 --pack DIR | --run DIR | --hash | --status" >&2
    exit 2
    ;;
esac
