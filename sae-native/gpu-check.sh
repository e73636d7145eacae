#!/usr/bin/env bash
# Checks the CUDA backend on a machine that has a GPU but neither Java nor a network, and keeps the result with the
# sources.
#   gpu-check.sh --pack DIR   here: a Java runtime, the tests and the native programs in DIR/pack.tar.xz (at most 48
#                             MiB, so that it and this tree stay below 64)
#   gpu-check.sh --run DIR [STAGE...]
#                             there, in the same tree: those of the stages below that have not been run on these sources
#                             yet, each with a time limit; then gpu-check/<gpu>.txt. Before a stage that would exceed
#                             SAE_GPU_SECONDS (540) it writes the results so far and exits with 3: run it again to
#                             resume
#   gpu-check.sh --hash       the sha256 of the CUDA sources
#   gpu-check.sh --status     says whether gpu-check/ holds a passed run of exactly these sources; always exits with 0
# Exits with 1 if a stage failed. Stages:
#   build        libsae_cuda.so and gpu_bench: the packed ones if built from these sources, otherwise compiled with nvcc
#   check        backend_check --large: against double precision, 200 steps, two bit-identical runs
#   conformance  the Java suites with the backend forced: every operation, all kernels, training, the CUDA presets if
#                installed
#   overhead     what a call costs through Java and JNI, compared with a step at the smallest shape
#   bench peers  gpu_bench, and PyTorch, sparsify and OpenAI's kernels on the same GPU, one shape after the other; JSON lines
#   memcheck     backend_check under compute-sanitizer
#   compiled     torch.compile, which is slow to compile
#   racecheck initcheck synccheck   the other tools of compute-sanitizer; last, since they are the slowest
# SAE_OPENAI_KERNELS=FILE when packing: kernels.py of github.com/openai/sparse_autoencoder, to measure it too.
set -euo pipefail
from=$PWD # DIR is relative to this
cd "$(dirname "${BASH_SOURCE[0]}")"

limit_mib=48
console=org.junit.platform:junit-platform-console-standalone:1.14.4

sources_hash() {
    find src/main/native/cuda src/main/native/bench src/main/native/include src/main/native/common build-cuda.sh -type f \
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
        echo "gpu-check: NOT RUN: these CUDA sources (${hash:0:16}) have not been run on a GPU; run sae-native/gpu-check.sh --run DIR on a GPU machine"
    fi
}

pack() {
    local target dir java_home built mib
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
    "${CXX:-g++}" -std=c++17 -O1 -static-libstdc++ -static-libgcc -Isrc/main/native/include \
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

    tar -C "$dir" -cf - java jars native peers | xz -6 -T0 >"$target.part"
    mv "$target.part" "$target"
    mib=$(du -sm --apparent-size "$target" | cut -f1)
    echo "gpu-check: $target, $mib MiB"
    if [ "$mib" -gt "$limit_mib" ]; then
        echo "gpu-check: expected at most $limit_mib MiB, got $mib; pack less" >&2
        exit 1
    fi
}

# ---- on the GPU machine ----

shapes="gpt2 1b 8b wide 3b"
begin=$SECONDS
budget=${SAE_GPU_SECONDS:-540}

# once STAGE LIMIT COMMAND...: runs a stage unless it has already run; its output and verdict are kept in $state
once() {
    local stage=$1 limit=$2 rc=0
    shift 2
    if [ -f "$state/$stage.verdict" ]; then
        return
    fi
    if [ $((SECONDS - begin + limit)) -gt "$budget" ]; then
        echo "gpu-check: stage $stage may take $limit s, but only $((budget - SECONDS + begin)) s are left; run this again to resume"
        report "gpu-check/$name.txt" || true # the results so far, in case nobody does
        exit 3
    fi
    echo "gpu-check: $stage"
    timeout "$limit" "$@" >"$state/$stage.out" 2>"$state/$stage.err" || rc=$?
    case $rc in
    0) echo PASSED >"$state/$stage.verdict" ;;
    124) echo "FAILED after $limit s" >"$state/$stage.verdict" ;;
    *) echo "FAILED with $rc" >"$state/$stage.verdict" ;;
    esac
    cat "$state/$stage.verdict"
}

unpack() {
    local hash
    hash=$(sha256sum "$dir/pack.tar.xz" | cut -d' ' -f1)
    if [ "$(cat "$dir/unpacked" 2>/dev/null)" != "$hash" ]; then
        rm -rf "$dir/java" "$dir/jars" "$dir/native" "$dir/peers" "$dir/build"
        tar -C "$dir" -xJf "$dir/pack.tar.xz" || python3 -m tarfile -e "$dir/pack.tar.xz" "$dir"
        python3 -c 'import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[1])' "$dir/peers"
        echo "$hash" >"$dir/unpacked"
    fi
}

skip() { # STAGE REASON
    echo "SKIPPED: $2" >"$state/$1.verdict"
}

build_stage() {
    if [ -f "$dir/native/libsae_cuda.so" ] && [ "$(cat "$dir/native/sources.sha256")" = "$(sources_hash)" ]; then
        echo "using the packed programs, built from these sources"
        cp "$dir/native/libsae_cuda.so" "$dir/native/gpu_bench" "$dir/build/"
        return
    fi
    ./build-cuda.sh --bench "$dir/build"
    if [ ! -f "$dir/build/libsae_cuda.so" ]; then
        echo "gpu-check: expected programs packed from these sources, or nvcc, got neither; pack again" >&2
        return 1
    fi
}

sanitize() { # TOOL
    local sanitizer
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1 || true)
    if [ -z "$sanitizer" ]; then
        skip "$1" "compute-sanitizer is not installed"
        return
    fi
    once "$1" 240 "$sanitizer" --tool "$1" --error-exitcode 1 "$dir/native/backend_check" "$dir/build/libsae_cuda.so"
    if grep -q FAILED "$state/$1.verdict" && grep -qh 'Device not supported' "$state/$1.out" "$state/$1.err"; then
        skip "$1" "compute-sanitizer does not support this device here"
    fi
}

peers() { # STAGE LIMIT ARGUMENTS...
    local stage=$1 limit=$2
    shift 2
    if [ -f "$dir/peers/openai_kernels.py" ]; then
        set -- "$@" --openai "$dir/peers/openai_kernels.py"
    fi
    if python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; then
        PYTHONPATH=$dir/peers once "$stage" "$limit" python3 ../benchmarks/peers/gpu_peers.py "$@"
    else
        skip "$stage" "PyTorch is not installed"
    fi
}

java_stage() {
    "$dir/java/bin/java" --enable-native-access=ALL-UNNAMED -Dsae.backend=cuda \
        -Dsae.cuda.library="$dir/build/libsae_cuda.so" -Dorg.bytedeco.javacpp.cachedir="$dir/cache" \
        -cp "$dir/jars/sae-native-test-classes:$dir/jars/*" "$@"
}

# Libraries from PyTorch's wheels: cuBLAS for gpu_bench, CUDA's runtime for the presets.
library_path() {
    python3 -c 'import glob, os, torch
base = os.path.dirname(os.path.dirname(torch.__file__))
print(":".join(glob.glob(base + "/nvidia/*/lib") + glob.glob(base + "/nvidia/cu13/lib")))' 2>/dev/null || true
}

report() {
    local file=$1 stage failed=passed
    {
        echo "sources: $(sources_hash)"
        echo "gpu: $gpu, driver $(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)"
        echo "date: $(date -u +%Y-%m-%d)"
        for stage in $stages; do
            echo "$(cat "$state/$stage.verdict" 2>/dev/null || echo "NOT RUN") $stage"
            if grep -q FAILED "$state/$stage.verdict" 2>/dev/null; then
                failed=failed
                { grep -A 4 -F '[X]' "$state/$stage.out" | head -n 200; cat "$state/$stage.out" "$state/$stage.err" | tail -n 40; } | sed 's/^/    /' || true
            elif [ ! -f "$state/$stage.verdict" ]; then
                failed=incomplete
            fi
        done
        for stage in overhead {bench,peers,compiled}-{gpt2,1b,3b,8b,wide}; do
            [ ! -f "$state/$stage.out" ] || grep -h '^{' "$state/$stage.out" 2>/dev/null || true
        done
        echo "result: $failed"
    } >"$file.part"
    mv "$file.part" "$file"
    echo "gpu-check: $file: $failed"
    [ "$failed" = passed ]
}

run() {
    local stage shape
    dir=$(cd "$from" && cd "$1" && pwd)
    shift
    if ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0); then
        echo "gpu-check: expected a GPU that nvidia-smi can see, got none" >&2
        exit 1
    fi
    name=$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-')
    state=$dir/state/$name-$(sources_hash | cut -c1-16)
    unpack
    mkdir -p gpu-check "$state" "$dir/build"
    stages="build check conformance overhead"
    for shape in $shapes; do
        stages="$stages bench-$shape peers-$shape"
    done
    stages="$stages memcheck"
    for shape in $shapes; do
        stages="$stages compiled-$shape"
    done
    stages="$stages racecheck initcheck synccheck"
    for stage in "$@"; do # run these again
        rm -f "$state/$stage.verdict"
    done
    export -f build_stage java_stage sources_hash
    export dir
    LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$(library_path)"
    export LD_LIBRARY_PATH

    once build 240 bash -c build_stage
    if grep -q FAILED "$state/build.verdict"; then
        cat "$state/build.err" >&2
        rm "$state/build.verdict"
        exit 1
    fi
    once check 120 "$dir/native/backend_check" "$dir/build/libsae_cuda.so" --large
    once conformance 180 bash -c 'java_stage org.junit.platform.console.ConsoleLauncher execute --fail-if-no-tests --disable-banner \
        --disable-ansi-colors --details=tree --select-class=io.faithfulsae.jni.internal.CudaBackendTest \
        --select-class=io.faithfulsae.jni.internal.CudaKernelsTest --select-class=io.faithfulsae.jni.internal.CudaTrainingTest \
        --select-class=io.faithfulsae.jni.internal.CudaPresetsTest "--select-class=io.faithfulsae.interop.DeviceInteropTest\$Cuda"'
    once overhead 60 bash -c 'java_stage io.faithfulsae.jni.internal.CallOverhead'
    for shape in $shapes; do
        once "bench-$shape" 60 "$dir/build/gpu_bench" --shape "$shape"
        peers "peers-$shape" 120 --shape "$shape" --peers torch,sparsify,openai
    done
    sanitize memcheck
    for shape in $shapes; do
        peers "compiled-$shape" 180 --shape "$shape" --peers torch.compile
    done
    for stage in racecheck initcheck synccheck; do
        sanitize "$stage"
    done
    report "gpu-check/$name.txt"
}

usage() {
    echo "usage: $0 --pack DIR | --run DIR [STAGE...] | --hash | --status" >&2
    exit 2
}

case "${1:-} $#" in
"--pack 2") pack "$2" ;;
"--run 1") usage ;;
"--run "*) run "${@:2}" ;;
"--hash 1") sources_hash ;;
"--status 1") status ;;
*) usage ;;
esac
