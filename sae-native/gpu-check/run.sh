# run.sh: the GPU machine's part of gpu-check.sh, which reads this file and calls `run`.
#
# OUT holds results.jsonl (a line that says what is run and where; a line when a stage starts and one when it ends; a line
# for each row of gpu_bench and gpu_peers.py), log.txt (everything else that was printed) and <gpu>.txt, the report, which
# is also written to gpu-check/ here, to be committed. results.jsonl is only ever appended to, and says what is done.
. gpu-check/results.sh

begin=$SECONDS
budget=420
shapes="gpt2 8b 1b wide 3b" # the first two come first everywhere
waiting=0                   # stages there was no time for
patience=${SAE_GPU_CHECK_PATIENCE:-100} # percent of the time limits of stages, for tests without a GPU

# A stage ends with this call, however that ends: it would write beside the next one.
ending=()
if setpriv --pdeathsig TERM true 2>/dev/null; then
    ending=(setpriv --pdeathsig TERM)
fi

say() { echo "gpu-check: $*"; }
left() { echo $((budget - SECONDS + begin)); }

# stage NAME NEEDS LIMIT rows|text COMMAND...: runs it unless it has been, or less than NEEDS seconds are left; for at most
# LIMIT seconds. rows: its standard output is rows for results.jsonl, and it leaves out those that are there.
stage() {
    local name=$1 needs=$2 limit=$(($3 * patience / 100)) kind=$4 rc=0 cut=0 offset started
    shift 4
    planned+=("$name")
    case $(verdicts "$name" | tail -n 2 | tr '\n' ' ') in
    *"STARTED STARTED ") # both calls were killed during it: not a third time
        record "$name" "FAILED: the call ended during it, twice" 0
        return
        ;;
    *" STARTED " | *" CUT " | *" AGAIN " | "STARTED " | "CUT " | "AGAIN " | "") ;;
    *) return ;;
    esac
    if [ "$(left)" -lt "$needs" ]; then
        say "$name needs $needs s and $(left) are left: not now"
        waiting=$((waiting + 1))
        return
    fi
    if [ "$(left)" -lt "$limit" ]; then
        limit=$(left)
        cut=1
    fi
    record "$name" STARTED 0
    printf '==== %s (%s)\n' "$name" "$(date -u +%T)" >>"$log"
    offset=$(stat -c %s "$log")
    started=$SECONDS
    if [ "$kind" = rows ]; then
        "${ending[@]}" timeout -k 5 "$limit" "$@" >>"$results" 2>>"$log" || rc=$?
    else
        "${ending[@]}" timeout -k 5 "$limit" "$@" >>"$log" 2>&1 || rc=$?
    fi
    end_line "$results"
    end_line "$log"
    shorten "$offset"
    local took=$((SECONDS - started))
    if [ "$rc" = 0 ]; then
        record "$name" PASSED "$took"
    elif [ "$rc" != 124 ] && { [ "$rc" != 137 ] || [ "$took" -lt "$limit" ]; }; then
        record "$name" "FAILED with $rc" "$took"
    elif [ "$cut" = 1 ]; then
        record "$name" CUT "$took" # the next call goes on
        waiting=$((waiting + 1))
    else
        record "$name" "FAILED after $limit s" "$took"
    fi
    say "$name: $(verdict "$name"), $took s"
    if failed "$name"; then
        printed "$name" | tail -n 40 | sed 's/^/    /'
    fi
    report >/dev/null
}

again() { # STAGE: the option to measure its rows again
    [ "$(verdict "$1")" != AGAIN ] || echo --again
}

unpack() {
    local hash
    hash=$(sha256sum "$dir/pack.tar.xz" | cut -d' ' -f1)
    if [ "$(cat "$dir/unpacked" 2>/dev/null)" != "$hash" ]; then
        rm -rf "$dir/java" "$dir/jars" "$dir/native" "$dir/peers" "$dir/build"
        tar -C "$dir" -xJf "$dir/pack.tar.xz" || python3 -m tarfile -e "$dir/pack.tar.xz" "$dir"
        python3 -c 'import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[1])' "$dir/peers" || true
        echo "$hash" >"$dir/unpacked"
    fi
    mkdir -p "$dir/build"
}

# The packed programs, if they are of these sources and run here; otherwise this machine's compilers make them.
build_stage() {
    set -e
    if [ -f "$dir/native/gpu_bench" ] && [ "$(cat "$dir/native/sources.sha256")" = "$(sources_hash)" ] && "$dir/native/gpu_bench" --probe; then
        echo "using the packed programs, built from these sources"
        cp "$dir/native/libsae_cuda.so" "$dir/native/gpu_bench" "$dir/build/"
    else
        echo "the packed programs are of other sources, or do not run here: building them"
        ./build-cuda.sh --bench "$dir/build"
        "$dir/build/gpu_bench" --probe
    fi
    if { "$dir/native/backend_check" 2>&1 || true; } | grep -q usage; then
        cp "$dir/native/backend_check" "$dir/build/"
    else
        "${CXX:-g++}" -std=c++20 -O1 -Isrc/main/native/include -o "$dir/build/backend_check" src/test/native/cuda/backend_check.cpp -ldl
    fi
}

java_stage() {
    "$dir/java/bin/java" --enable-native-access=ALL-UNNAMED -Dsae.backend=cuda -Dsae.cuda.options="$kernel_options" \
        -Dsae.cuda.library="$dir/build/libsae_cuda.so" -Dorg.bytedeco.javacpp.cachedir="$dir/cache" \
        -cp "$dir/jars/sae-native-test-classes:$dir/jars/*" "$@"
}

java() { # STAGE NEEDS LIMIT rows|text ARGUMENTS...
    if [ -x "$dir/java/bin/java" ]; then
        stage "$1" "$2" "$3" "$4" bash -c 'java_stage "$@"' java "${@:5}"
    else
        skip "$1" "there is no Java in the pack"
    fi
}

bench() { # STAGE NEEDS LIMIT GLOBS
    stage "$1" "$2" "$3" rows bash -c 'bench_rows "$@"' bench --results "$results" $(again "$1") --options "$kernel_options" --only "$4"
}

# A row that fails ends gpu_bench, which then goes on with the others: three times, since a GPU may be beyond help.
bench_rows() {
    local rc=0 try last
    for try in 1 2 3; do
        last=0
        "$dir/build/gpu_bench" "$@" || last=$?
        [ "$last" != 0 ] || break
        rc=$last
    done
    return "$rc"
}

# Rows of a shape and precision that come first.
core() { # SHAPE/PRECISION
    local row rows=
    for row in cublas product topk encode encode/phases decode step step_aux step/phases step_aux/phases step_clipping step_dead step_dead/phases; do
        rows=$rows,$1/$row
    done
    echo "${rows#,}"
}

peers() { # STAGE NEEDS LIMIT ARGUMENTS...
    local name=$1 needs=$2 limit=$3
    shift 3
    if [ -f "$dir/peers/openai_kernels.py" ]; then
        set -- "$@" --openai "$dir/peers/openai_kernels.py"
    fi
    if python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; then
        stage "$name" "$needs" "$limit" rows env PYTHONPATH="$dir/peers" python3 ../benchmarks/peers/gpu_peers.py --results "$results" $(again "$name") "$@"
    else
        skip "$name" "PyTorch is not installed"
    fi
}

tool() { # NAME: where an NVIDIA tool is; nothing if nowhere
    command -v "$1" || ls /usr/local/cuda*/bin/"$1" /opt/nvidia/nsight-compute/*/"$1" 2>/dev/null | head -n 1 || true
}

profile() { # SHAPE
    local ncu
    ncu=$(tool ncu)
    if [ -z "$ncu" ]; then
        skip "ncu-$1" "ncu is not installed"
        return
    fi
    stage "ncu-$1" 25 60 text "$ncu" --clock-control none --profile-from-start off --section SpeedOfLight --print-summary per-kernel \
        "$dir/build/gpu_bench" --options "$kernel_options" --profile "$1" bf16
    excuse "ncu-$1" 'LibraryNotLoaded|ERR_NVGPUCTRPERM|Failed to initialize|No kernels were profiled' "ncu cannot read this device's counters"
    excuse "ncu-$1" . "ncu did not finish: $(verdict "ncu-$1")" # it checks nothing
}

sanitize() { # TOOL NEEDS
    local sanitizer
    sanitizer=$(tool compute-sanitizer)
    if [ -z "$sanitizer" ]; then
        skip "$1" "compute-sanitizer is not installed"
        return
    fi
    stage "$1" "$2" 240 text "$sanitizer" --tool "$1" --error-exitcode 1 "$dir/build/backend_check" "$dir/build/libsae_cuda.so"
    excuse "$1" 'Device not supported' "compute-sanitizer does not support this device here"
}

# Libraries of PyTorch's wheels: cuBLAS for gpu_bench, CUDA's runtime for the presets. PyTorch itself is not loaded: slow.
library_path() {
    python3 -c 'import glob, importlib.util, os
base = os.path.dirname(os.path.dirname(importlib.util.find_spec("torch").origin))
print(":".join(glob.glob(base + "/nvidia/*/lib")))' 2>/dev/null || true
}

# Everything, most wanted first.
stages() {
    local all=($shapes) first second shape kernels
    first=${all[0]}
    second=${all[1]:-}

    if [ ! -x "$dir/build/gpu_bench" ] && [ -n "$(verdict build)" ]; then
        record build AGAIN 0 # another machine, or it failed
    fi
    stage build 10 240 text bash -c build_stage
    if ! [ -x "$dir/build/gpu_bench" ] || failed build; then
        peers peers-bf16 30 90 --shapes "$first${second:+,$second}" --precisions bf16 --peers torch,graph
        return
    fi

    kernel_options=
    for kernels in plain sm80 sm90; do
        stage "smoke-$kernels" 5 15 rows "$dir/build/gpu_bench" --smoke "$kernels"
        excuse "smoke-$kernels" 'needs compute capability' "this device has other matrix units"
    done
    if failed smoke-sm90; then
        kernel_options=kernels=sm80
        failed smoke-sm80 && kernel_options=kernels=plain
        say "from here on with $kernel_options"
    fi
    export kernel_options

    bench anchors 5 30 anchors
    for shape in $first $second; do
        bench "bench-$shape-bf16" 10 60 "$(core "$shape/bf16")"
    done
    peers peers-bf16 30 90 --shapes "$first${second:+,$second}" --precisions bf16 --peers torch,graph
    stage check 20 120 text "$dir/build/backend_check" "$dir/build/libsae_cuda.so" --large
    bench families 15 60 "$first/*/families/*"
    for shape in $first $second; do
        profile "$shape"
    done
    for shape in "${all[@]:2}"; do
        bench "bench-$shape-bf16" 10 60 "$(core "$shape/bf16")"
    done
    for shape in $shapes; do
        bench "bench-$shape-fp32" 10 60 "$(core "$shape/fp32")"
    done
    peers peers-others 30 180 --shapes "${shapes// /,}" --precisions bf16,tf32,fp32 --peers sparsify,openai,torch,graph
    java conformance 40 180 text org.junit.platform.console.ConsoleLauncher execute --fail-if-no-tests --disable-banner \
        --disable-ansi-colors --details=tree --select-class=io.faithfulsae.jni.internal.CudaBackendTest \
        --select-class=io.faithfulsae.jni.internal.CudaKernelsTest --select-class=io.faithfulsae.jni.internal.CudaTrainingTest \
        --select-class=io.faithfulsae.jni.internal.CudaPresetsTest '--select-class=io.faithfulsae.interop.DeviceInteropTest$Cuda'
    sanitize memcheck 60
    java overhead 15 60 rows io.faithfulsae.jni.internal.CallOverhead
    for shape in $shapes; do
        bench "more-$shape-bf16" 10 60 "$shape/bf16/*"
        bench "more-$shape-fp32" 10 60 "$shape/fp32/*"
    done
    peers compiled 60 240 --shapes "${shapes// /,}" --precisions bf16,tf32,fp32 --peers torch.compile
    for kernels in racecheck initcheck synccheck; do
        sanitize "$kernels" 60
    done
}

take_options() {
    dir= out= resume= named=()
    [ $# -gt 0 ] && [ "${1#--}" = "$1" ] || usage
    dir=$(cd "$from" && cd "$1" && pwd)
    shift
    while [ $# -gt 0 ]; do
        case "$1 $#" in
        "--"*" 1") usage ;;
        "--out "*) out=$(cd "$from" && mkdir -p "$2" && cd "$2" && pwd); shift ;;
        "--resume "*) resume=$(cd "$from" && cd "$2" && pwd); shift ;;
        "--seconds "*) budget=$2; shift ;;
        "--shapes "*) shapes=$2; shift ;;
        "--"*) usage ;;
        *) named+=("$1") ;;
        esac
        shift
    done
    [ -n "$out" ] || usage
}

run() {
    local name
    take_options "$@"
    if ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0); then
        say "expected a GPU that nvidia-smi can see, got none" >&2
        exit 1
    fi
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0)
    file=$(echo "$gpu" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-').txt
    sources=$(sources_hash)
    mkdir -p gpu-check
    open_results
    unpack
    for name in "${named[@]}"; do
        record "$name" AGAIN 0
    done
    export -f build_stage java_stage bench_rows sources_hash
    export dir
    LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}:$(library_path)"
    export LD_LIBRARY_PATH

    stages
    finished=1
    report | grep -v '^{' | grep -v '^    ' | tail -n 60
    summary
    say "$out/$file, after $((SECONDS - begin)) s"
    if [ "$waiting" -gt 0 ]; then
        say "there was no time for $waiting stages; run this again to go on"
    fi
    ! grep -q '^result: failed' "$out/$file" || exit 1
    ! grep -q '^result: incomplete' "$out/$file" || exit 3
}
