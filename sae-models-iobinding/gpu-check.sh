#!/usr/bin/env bash
# Checks models in a GPU's memory on a machine that has a GPU, CUDA 13, cuDNN 9 and nvcc but neither Java nor a network.
#   gpu-check.sh --pack DIR   here: DIR/base.tar.xz (a Java runtime, the classes, the tests, and the CUDA backend if
#                             nvcc is here) and the GPU natives of ONNX Runtime in four parts, DIR/part-0 to part-3:
#                             each at most 48 MiB, so that each together with this tree stays below 64 and they can be
#                             transferred one at a time
#   gpu-check.sh --run DIR    there, in the same tree, once all five have arrived: the tests on the GPU in float16, then
#                             tokens per second in bfloat16 for a random model with SmolLM2-135M's shape, compared with
#                             transformers if it is installed; into gpu-check/<gpu>.txt. Exits with 1 if something
#                             failed
# CUDA and cuDNN are searched for in LD_LIBRARY_PATH and in PyTorch's wheels.
set -euo pipefail
from=$PWD # DIR is relative to this
cd "$(dirname "${BASH_SOURCE[0]}")"

limit_mib=48
console=org.junit.platform:junit-platform-console-standalone:1.14.4
natives=org.bytedeco:onnxruntime:1.28.0-1.5.14:jar:linux-x86_64-gpu
modules="sae-core sae-native sae-models sae-models-iobinding benchmarks"

pack() {
    local target dir java_home module part mib
    target=$(cd "$from" && mkdir -p "$1" && cd "$1" && pwd)
    dir=$(mktemp -d)
    trap "rm -rf '$dir'" EXIT
    java_home=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
    mkdir "$dir/jars" "$dir/classes" "$dir/native"

    # Leaves out libraries for CPU computation, tables and tokenization.
    (cd .. && mvn -q -B -pl sae-models-iobinding,benchmarks -am -DskipTests test-compile dependency:copy-dependencies \
        -DincludeScope=test -DoutputDirectory="$dir/jars" -DexcludeArtifactIds=openblas,duckdb_jdbc,tokenizers,zstd-jni \
        -DexcludeGroupIds=io.faithfulsae,com.microsoft.onnxruntime,org.junit.jupiter,org.junit.platform,org.opentest4j)
    rm -f "$dir"/jars/onnxruntime-*-linux-x86_64.jar
    (cd .. && mvn -q -B -N dependency:copy -Dartifact="$console" -DoutputDirectory="$dir/jars" &&
        mvn -q -B -N dependency:copy -Dartifact="$natives" -DoutputDirectory="$dir/natives")
    for module in $modules; do
        cp -r "../$module/target/classes" "$dir/classes/$module"
    done
    rm -f "$dir"/classes/sae-native/io/faithfulsae/jni/internal/*/libsae_cuda.so # packed separately, with the hash of its sources
    cp -r ../sae-core/target/test-classes "$dir/classes/sae-core-tests"
    cp -r ../sae-models/target/test-classes "$dir/classes/sae-models-tests"
    "$java_home/bin/jlink" --output "$dir/java" --compress=0 --strip-java-debug-attributes --no-header-files --no-man-pages \
        --add-modules java.base,java.logging,java.management,java.net.http,java.sql,java.xml,jdk.unsupported

    split -n 4 -d -a 1 "$dir"/natives/onnxruntime-*-linux-x86_64-gpu.jar "$dir/part-"
    sha256sum "$dir"/natives/onnxruntime-*-linux-x86_64-gpu.jar | cut -d' ' -f1 >"$dir/natives.sha256"
    ../sae-native/build-cuda.sh ../sae-native/target/native/cuda
    if [ -f ../sae-native/target/native/cuda/libsae_cuda.so ]; then
        cp ../sae-native/target/native/cuda/libsae_cuda.so "$dir/native/"
        ../sae-native/gpu-check.sh --hash >"$dir/native/sources.sha256"
    fi
    tar -C "$dir" -cf - java jars classes native natives.sha256 | xz -6 -T0 >"$target/base.tar.xz"
    mv "$dir"/part-? "$target/"
    for part in base.tar.xz part-0 part-1 part-2 part-3; do
        mib=$(du -sm --apparent-size "$target/$part" | cut -f1)
        echo "gpu-check: $target/$part: $mib MiB"
        if [ "$mib" -gt "$limit_mib" ]; then
            echo "gpu-check: expected at most $limit_mib MiB, got $mib; pack less" >&2
            exit 1
        fi
    done
}

# ---- on the GPU machine ----

failed=0
note() { echo "$*" | tee -a "$report"; }

# check NAME COMMAND...: one line in the report, the JSON lines it printed, and the end of its output if it failed
check() {
    local name=$1 log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        note "PASSED $name"
        grep '^{' "$log" | tee -a "$report" || true
    else
        note "FAILED $name"
        tail -n 60 "$log" | sed 's/^/    /' | tee -a "$report"
        failed=1
    fi
    rm -f "$log"
}

run() {
    local dir gpu classes module wheels
    dir=$(cd "$from" && cd "$1" && pwd)
    if ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0); then
        echo "gpu-check: expected a GPU that nvidia-smi can see, got none" >&2
        exit 1
    fi
    mkdir -p gpu-check
    report=$PWD/gpu-check/$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-').txt
    : >"$report"
    note "gpu: $gpu, driver $(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)"
    note "date: $(date -u +%Y-%m-%d)"
    rm -rf "$dir/base"
    mkdir -p "$dir/base" "$dir/build"
    tar -C "$dir/base" -xJf "$dir/base.tar.xz" || python3 -m tarfile -e "$dir/base.tar.xz" "$dir/base"
    cat "$dir"/part-? >"$dir/base/jars/onnxruntime-gpu.jar"
    if [ "$(sha256sum "$dir/base/jars/onnxruntime-gpu.jar" | cut -d' ' -f1)" != "$(cat "$dir/base/natives.sha256")" ]; then
        echo "gpu-check: expected the four parts of one jar, got a different checksum; pack and transfer them again" >&2
        exit 1
    fi
    if [ "$(cat "$dir/base/native/sources.sha256" 2>/dev/null)" = "$(../sae-native/gpu-check.sh --hash)" ]; then
        cp "$dir/base/native/libsae_cuda.so" "$dir/build/"
    else
        ../sae-native/build-cuda.sh "$dir/build"
    fi
    wheels=$(python3 -c 'import glob, os, torch
base = os.path.dirname(os.path.dirname(torch.__file__))
print(":".join(glob.glob(base + "/nvidia/*/lib")))' 2>/dev/null || true)
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$wheels"

    classes=$dir/base/classes/sae-models-tests:$dir/base/classes/sae-core-tests
    for module in $modules; do
        classes=$classes:$dir/base/classes/$module
    done
    java=("$dir/base/java/bin/java" --enable-native-access=ALL-UNNAMED -Dsae.backend=cuda -Dsae.models.runtime=iobinding
        -Dsae.cuda.library="$dir/build/libsae_cuda.so" -Dorg.bytedeco.javacpp.cachedir="$dir/cache"
        -cp "$classes:$dir/base/jars/*")
    check "device tests" "${java[@]}" org.junit.platform.console.ConsoleLauncher execute --fail-if-no-tests --disable-banner \
        --details=tree --select-class=io.faithfulsae.models.DeviceDecoderTest \
        --select-class=io.faithfulsae.models.DeviceActivationsTest
    check "model of SmolLM2-135M's shape" python3 make_random_model.py "$dir/model"
    check "speed, ours" "${java[@]}" io.faithfulsae.benchmarks.ModelSpeed "$dir/model" 1 10 /dev/stdout cuda
    if python3 -c 'import transformers' 2>/dev/null; then
        check "speed, transformers" python3 ../benchmarks/peers/models.py "$dir/model" 1 10 /dev/stdout bfloat16 cuda
    else
        note "SKIPPED speed, transformers: not installed"
    fi
    note "result: $([ "$failed" = 0 ] && echo passed || echo failed)"
    exit "$failed"
}

case "${1:-} $#" in
"--pack 2") pack "$2" ;;
"--run 2") run "$2" ;;
*)
    echo "usage: $0 --pack DIR | --run DIR" >&2
    exit 2
    ;;
esac
