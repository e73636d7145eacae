#!/usr/bin/env bash
# Checks and times the CUDA backend on a machine that has a GPU but neither Java nor a network (docs/gpu-check.md).
#   gpu-check.sh --pack DIR   here: a Java runtime, the tests and the native programs in DIR/pack.tar.xz. At most 48 MiB,
#                             and at most 64 with this tree
#   gpu-check.sh --run DIR --out OUT [--resume FOLDER] [--seconds N] [--shapes "A B..."] [STAGE...]
#                             there, in the same tree: the stages that have not been run on these sources yet, until N
#                             seconds (420) are over; gpu-check/run.sh has them. What was measured is in OUT after every
#                             row, so a call that is killed loses nothing, and the next one goes on where it ended.
#                             --resume: an OUT of an earlier call, if it was another folder. STAGE: run these again.
#                             Exits with 0 if all have passed, 1 if one has failed, 3 if there was no time for one
#   gpu-check.sh --hash       the sha256 of the CUDA sources
#   gpu-check.sh --status     says whether gpu-check/ holds a passed run of exactly these sources; always exits with 0
# SAE_OPENAI_KERNELS=FILE when packing: kernels.py of github.com/openai/sparse_autoencoder, to measure it too.
set -euo pipefail
from=$PWD # folders on the command line are relative to this
cd "$(dirname "${BASH_SOURCE[0]}")"

pack_mib=48
all_mib=64 # pack and tree
console=org.junit.platform:junit-platform-console-standalone:1.14.4

sources_hash() {
    find src/main/native/cuda src/main/native/bench src/main/native/include src/main/native/common build-cuda.sh -type f \
        \( -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -path '*/bench/*.cpp' -o -name build-cuda.sh \) -print0 |
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
        echo "gpu-check: NOT RUN: these CUDA sources (${hash:0:16}) have not been run on a GPU; run sae-native/gpu-check.sh --run DIR --out OUT on a GPU machine"
    fi
}

# Bytes of the tree without what git ignores.
tree_bytes() {
    (cd .. && git ls-files -z --cached --others --exclude-standard | xargs -0 stat -c %s -- 2>/dev/null |
        awk '{ sum += $1 } END { printf "%d\n", sum }')
}

check_size() { # PACK
    local pack tree
    pack=$(stat -c %s "$1")
    tree=$(tree_bytes)
    echo "gpu-check: $1: $((pack >> 20)) MiB, and the tree has $((tree >> 20)) MiB"
    if [ "$pack" -gt $((pack_mib << 20)) ]; then
        echo "gpu-check: expected a pack of at most $pack_mib MiB, got $((pack >> 20)); pack less" >&2
        return 1
    fi
    if [ $((pack + tree)) -gt $((all_mib << 20)) ]; then
        echo "gpu-check: expected pack and tree to have at most $all_mib MiB, got $(((pack + tree) >> 20)); pack less" >&2
        return 1
    fi
}

pack() {
    local target dir java_home built
    target=$(cd "$from" && mkdir -p "$1" && cd "$1" && pwd)/pack.tar.xz
    dir=$(mktemp -d)
    trap "rm -rf '$dir'" EXIT
    java_home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
    mkdir "$dir/jars" "$dir/native"

    # Java: our jars with their dependencies, the tests, and JUnit's launcher. Without OpenBLAS: the CPU is not checked.
    (cd .. && mvn -q -B -pl sae-native -am -DskipTests package dependency:copy-dependencies -DincludeScope=test \
        -DoutputDirectory="$dir/jars" -DexcludeArtifactIds=openblas \
        -DexcludeGroupIds=org.junit.jupiter,org.junit.platform,org.opentest4j,org.apiguardian)
    (cd .. && mvn -q -B -N dependency:copy -Dartifact="$console" -DoutputDirectory="$dir/jars")
    cp target/sae-native-*.jar "$dir/jars/"
    cp -r target/test-classes "$dir/jars/sae-native-test-classes"
    "$java_home/bin/jlink" --output "$dir/java" --compress=0 --strip-java-debug-attributes --no-header-files --no-man-pages \
        --add-modules java.base,java.logging,java.management,java.net.http,java.sql,java.xml,jdk.unsupported

    # Native: a driver without Java, and if nvcc is available the library and its benchmark, to save compiling them there.
    "${CXX:-g++}" -std=c++20 -O1 -static-libstdc++ -static-libgcc -Isrc/main/native/include \
        -o "$dir/native/backend_check" src/test/native/cuda/backend_check.cpp -ldl
    ./build-cuda.sh --bench target/native/cuda
    for built in libsae_cuda.so gpu_bench; do
        if [ -f "target/native/cuda/$built" ]; then
            cp "target/native/cuda/$built" "$dir/native/"
        fi
    done
    sources_hash >"$dir/native/sources.sha256"

    # Peers: what sparsify needs besides PyTorch, for the GPU machine's Python.
    mkdir "$dir/peers"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
        --platform manylinux2014_x86_64 -d "$dir/peers" eai-sparsify==1.3.3 datasets dill multiprocess natsort schedulefree \
        simple-parsing docstring-parser || echo "gpu-check: warning: sparsify could not be downloaded and is left out"
    if [ -n "${SAE_OPENAI_KERNELS:-}" ]; then
        cp "$SAE_OPENAI_KERNELS" "$dir/peers/openai_kernels.py"
    fi

    tar -C "$dir" -cf - java jars native peers | xz -9 -T0 >"$target.part"
    check_size "$target.part"
    mv "$target.part" "$target"
    echo "gpu-check: $target"
}

usage() {
    sed -n '3,12s/^# \?//p' gpu-check.sh >&2
    exit 2
}

case "${1:-} $#" in
"--pack 2") pack "$2" ;;
"--run "*)
    shift
    . gpu-check/run.sh
    run "$@"
    ;;
"--hash 1") sources_hash ;;
"--status 1") status ;;
*) usage ;;
esac
