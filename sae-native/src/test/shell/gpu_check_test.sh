#!/usr/bin/env bash
# Walks gpu-check.sh through on a machine without a GPU, in a copy of the tree, with stand-ins for NVIDIA's tools.
#   gpu_check_test.sh                  gpu_bench and backend_check are stand-ins too: half a minute or more
#   gpu_check_test.sh --emulated DIR   the real gpu_bench over the emulated GPU, whose library cuda-on-cpu.sh --library makes
#                                      in DIR if it is not there: ten minutes or more
# Kills it at random moments (SAE_TEST_SEED repeats them) and checks that results stay, that the next call goes on, and that
# nothing is measured twice; then each thing that can go wrong on the other machine.
set -euo pipefail

native=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
emulated=
if [ "${1:-}" = --emulated ]; then
    mkdir -p "$2"
    emulated=$(cd "$2" && pwd)
fi
seed=${SAE_TEST_SEED:-$RANDOM}
RANDOM=$seed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shapes="tiny ragged"

fail() {
    echo "gpu_check_test: FAILED (seed $seed): $*" >&2
    tail -n 30 "$work"/*.text >&2
    exit 1
}

# ---- stand-ins ----

mkdir -p "$work/bin" "$work/programs" "$work/tree/sae-native" "$work/tree/benchmarks/peers"
cp "$native/gpu-check.sh" "$work/tree/sae-native/"
mkdir "$work/tree/sae-native/gpu-check"
cp "$native"/gpu-check/*.sh "$work/tree/sae-native/gpu-check/"
mkdir -p "$work/tree/sae-native/src/main"
cp -r "$native/src/main/native" "$work/tree/sae-native/src/main/"
touch "$work/tree/benchmarks/peers/gpu_peers.py"
real_python=$(command -v python3)

stand_in() { # FILE: makes a program of standard input
    { echo '#!/usr/bin/env bash'; cat; } >"$1"
    chmod +x "$1"
}

stand_in "$work/bin/nvidia-smi" <<'END'
case "$*" in
*driver_version*) echo 580.0 ;;
*) echo "Emulated GPU" ;;
esac
END

# rows RESULTS AGAIN ID...: one row for each id that RESULTS does not have, written in two halves.
stand_in "$work/bin/rows" <<'END'
results=$1 again=$2
shift 2
for id in "$@"; do
    if [ "$id" = "${SAE_TEST_BREAK_ROW:-}" ] && ! grep -q "^{\"id\":\"$id\",.*}$" "$results"; then
        echo "{\"id\":\"$id\",\"failed\":\"no reason\"}"
        exit 1
    fi
    if [ -n "$again" ] || ! grep -q "^{\"id\":\"$id\",.*}$" "$results"; then
        printf '{"id":"%s",' "$id"
        sleep "0.0$((RANDOM % 6))"
        printf '"median_us":%d.5,"percent_of_floor":50.0}\n' $((RANDOM + 1))
    fi
done
END

stand_in "$work/bin/python3" <<END
case "\$*" in
*'is None'*) exit 0 ;; # PyTorch is there
*gpu_peers.py*)
    results= again= ids=()
    while [ \$# -gt 0 ]; do
        case \$1 in
        --results) results=\$2 ;;
        --again) again=1 ;;
        --shapes) shapes=\$2 ;;
        --precisions) precisions=\$2 ;;
        --peers) peers=\$2 ;;
        esac
        shift
    done
    for precision in \${precisions//,/ }; do
        for shape in \${shapes//,/ }; do
            for peer in \${peers//,/ }; do
                ids+=("\$shape/\$precision/\$peer/step")
            done
        done
    done
    exec rows "\$results" "\$again" "\${ids[@]}"
    ;;
*) exec "$real_python" "\$@" ;;
esac
END

stand_in "$work/bin/ncu" <<'END'
echo '==ERROR== Failed to initialize the profiler: LibraryNotLoaded'
exit 1
END

stand_in "$work/bin/compute-sanitizer" <<'END'
echo "sanitizer $*"
END

# Fails if asked to; otherwise says what a run without arguments says.
stand_in "$work/programs/backend_check" <<'END'
[ $# -gt 0 ] || { echo "usage: backend_check LIBRARY [--large]" >&2; exit 2; }
if [ "${SAE_TEST_BREAK:-}" = check ]; then
    for line in $(seq 60); do echo "this is line $line of the failure"; done
    exit 1
fi
END

if [ -n "$emulated" ]; then
    if [ ! -f "$emulated/libsae_cuda.so" ]; then
        "$native/cuda-on-cpu.sh" --library "$emulated"
    fi
    shim=$native/src/test/native/cuda/on_cpu
    wraps=(-Wl,--wrap=_Z15cudaMemcpyAsyncPvPKvm14cudaMemcpyKindP18cuda_on_cpu_stream
        -Wl,--wrap=_ZN11cuda_on_cpu15require_currentEP18cuda_on_cpu_streamPKc)
    mkdir -p "$emulated/bench"
    for source in "$native"/src/main/native/bench/*.c*; do
        "${CXX:-g++}" -x c++ -std=c++20 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-psabi \
            -I"$shim" -I"$native/src/main/native/include" -c -o "$emulated/bench/$(basename "$source").o" "$source"
    done
    "${CXX:-g++}" -o "$work/programs/gpu_bench" "$emulated"/bench/*.o "$emulated"/cuda-on-cpu-objects/*.o "${wraps[@]}" -ldl
    cp "$emulated/libsae_cuda.so" "$work/programs/"
    export SAE_GPU_CHECK_PATIENCE=3000
    longest=120 seconds=40 # before a kill, and of a short call
else
    touch "$work/programs/libsae_cuda.so"
    longest=6 seconds=20
    stand_in "$work/programs/gpu_bench" <<'END'
echo "gpu_bench $*" >&2
results=/dev/null again= only=
while [ $# -gt 0 ]; do
    case $1 in
    --probe) exit 0 ;;
    --smoke)
        if [ "$2" = "${SAE_TEST_BREAK:-}" ]; then # a kernel that hangs, in a program that does not hear
            trap '' TERM
            while true; do sleep 0.2; done
        fi
        echo "{\"id\":\"smoke/$2\",\"failures\":0}"
        exit 0
        ;;
    --results) results=$2 ;;
    --again) again=1 ;;
    --only) only=$2 ;;
    esac
    shift
done
ids=()
for glob in ${only//,/ }; do
    [[ $glob == *'*' ]] && ids+=("${glob%\*}last" "${glob%\*}least") || ids+=("$glob")
done
exec rows "$results" "$again" "${ids[@]}"
END
fi

# What nvcc would do on the other machine.
stand_in "$work/tree/sae-native/build-cuda.sh" <<END
echo "building in \$2"
cp "$work/programs/gpu_bench" "$work/programs/libsae_cuda.so" "\$2/"
END

pack() { # DIR [PROGRAM that does not run]
    mkdir -p "$1/parts/native" "$1/parts/peers"
    cp "$work"/programs/* "$1/parts/native/"
    [ $# = 1 ] || printf '#!/nowhere/at/all\n' >"$1/parts/native/$2"
    "$work/tree/sae-native/gpu-check.sh" --hash >"$1/parts/native/sources.sha256"
    tar -C "$1/parts" -cJf "$1/pack.tar.xz" native peers
    rm -r "$1/parts"
}

# check NAME OPTIONS...: a call; its output in NAME.text, its status in $rc
check() {
    local name=$1
    shift
    rc=0
    PATH=$work/bin:$PATH "$work/tree/sae-native/gpu-check.sh" --run "$@" --shapes "$shapes" >"$work/$name.text" 2>&1 || rc=$?
}

rows() { grep -a '^{"id":.*}$' "$1" | sed 's/^{"id":"\([^"]*\)".*/\1/' | sort; }
expect() { grep -qF -- "$2" "$1" || fail "expected \"$2\" in $1"; }
expect_result() { expect "$1/emulated-gpu.txt" "result: $2"; }

# ---- killed at random ----

pack "$work/dir"
out=$work/out
kills=0
while [ "$kills" -lt 3 ]; do
    cp "$out/results.jsonl" "$work/before" 2>/dev/null || : >"$work/before"
    PATH=$work/bin:$PATH setsid "$work/tree/sae-native/gpu-check.sh" --run "$work/dir" --out "$out" --shapes "$shapes" --seconds 10000 \
        >"$work/killed.text" 2>&1 &
    call=$!
    sleep "$((1 + RANDOM % longest)).$((RANDOM % 10))"
    kill -KILL -- "-$call" 2>/dev/null || true
    wait "$call" 2>/dev/null || true
    cmp -s -n "$(stat -c %s "$work/before")" "$work/before" "$out/results.jsonl" || fail "a killed call lost results"
    kills=$((kills + 1))
    echo "gpu_check_test: killed at $(tail -n 1 "$out/results.jsonl" | cut -c1-60)"
done
check finished "$work/dir" --out "$out" --seconds 10000
twice=$(grep -o '"stage":"[^"]*","verdict":"FAILED: the call ended during it, twice"' "$out/results.jsonl" | cut -d'"' -f4 || true)
if [ -n "$twice" ]; then # it was killed in the same stage twice, which must not be tried again unless it is asked for
    [ "$rc" = 1 ] || fail "expected status 1 after a stage that ended two calls, got $rc"
    check finished "$work/dir" --out "$out" --seconds 10000 $twice
fi
[ "$rc" = 0 ] || fail "expected status 0 after everything was run, got $rc"
expect_result "$out" passed
[ -n "$twice" ] || [ -z "$(rows "$out/results.jsonl" | grep -v "^smoke/" | uniq -d)" ] || fail "measured twice: $(rows "$out/results.jsonl" | uniq -d | head -n 3)"
for id in anchors smoke/sm90 tiny/bf16/step tiny/bf16/step/phases ragged/fp32/encode tiny/bf16/graph/step; do
    rows "$out/results.jsonl" | grep -qx "$id" || fail "no row $id"
    expect "$out/emulated-gpu.txt" "\"id\":\"$id\""
done
expect "$out/emulated-gpu.txt" "SKIPPED: ncu cannot read this device's counters ncu-tiny"
expect "$out/emulated-gpu.txt" "SKIPPED: there is no Java in the pack conformance"
expect "$out/emulated-gpu.txt" "sources: $("$work/tree/sae-native/gpu-check.sh" --hash)"
"$work/tree/sae-native/gpu-check.sh" --status >"$work/status.text"
expect "$work/status.text" "result: passed for these CUDA sources (gpu: Emulated GPU, driver 580.0)"

# ---- another machine: nothing is measured again, but the programs are there anew ----

before=$(rows "$out/results.jsonl")
pack "$work/fresh"
check resumed "$work/fresh" --out "$work/out2" --resume "$out"
[ "$rc" = 0 ] || fail "expected status 0 of a call with nothing to do, got $rc"
[ "$(rows "$work/out2/results.jsonl")" = "$before" ] || fail "a resumed call measured again"
[ -x "$work/fresh/build/gpu_bench" ] || fail "a resumed call has no programs"

if [ -n "$emulated" ]; then
    echo "gpu_check_test: passed (seed $seed)"
    exit
fi

# ---- rows are measured again on request, and the last counts ----

check again "$work/fresh" --out "$work/out2" bench-tiny-bf16
[ "$(rows "$work/out2/results.jsonl" | grep -cx tiny/bf16/step)" = 2 ] || fail "a stage that was named was not run again"

shapes=tiny # from here on

# ---- short of time ----

check short "$work/dir" --out "$work/short" --seconds "$seconds"
[ "$rc" = 3 ] || fail "expected status 3 without time for everything, got $rc"
expect_result "$work/short" incomplete
expect "$work/short.text" "run this again to go on"
expect "$work/short.text" "not now"

# ---- a failure does not end it, and its end is shown ----

SAE_TEST_BREAK_ROW=tiny/bf16/decode SAE_TEST_BREAK=check check broken "$work/dir" --out "$work/broken"
[ "$rc" = 1 ] || fail "expected status 1 after a failure, got $rc"
expect_result "$work/broken" failed
for file in "$work/broken.text" "$work/broken/emulated-gpu.txt"; do
    expect "$file" "this is line 60 of the failure"
    expect "$file" "this is line 21 of the failure"
    ! grep -q "this is line 20 of" "$file" || fail "more than 40 lines of a failure in $file"
done
rows "$work/broken/results.jsonl" | grep -qx tiny/fp32/last || fail "a failed check ended the call"
expect "$work/broken.text" "bench-tiny-bf16: FAILED with 1"
rows "$work/broken/results.jsonl" | grep -qx tiny/bf16/step || fail "a failed row ended its stage"

# ---- kernels that hang: the next best are used ----

SAE_GPU_CHECK_PATIENCE=10 SAE_TEST_BREAK=sm90 check hung "$work/dir" --out "$work/hung" --seconds 40
expect "$work/hung.text" "smoke-sm90: FAILED after 1 s"
expect "$work/hung.text" "from here on with kernels=sm80"
expect "$work/hung/log.txt" "--options kernels=sm80 --only anchors"

# ---- packed programs that do not run are built there ----

pack "$work/foreign" gpu_bench
check foreign "$work/foreign" --out "$work/foreign-out" --seconds 25
expect "$work/foreign-out/log.txt" "or do not run here: building them"
rows "$work/foreign-out/results.jsonl" | grep -qx smoke/plain || fail "the programs built there were not run"

# ---- results of other sources are set aside ----

echo "// another line" >>"$work/tree/sae-native/src/main/native/common/text.h"
check other "$work/dir" --out "$work/short" --seconds 3
expect "$work/other.text" "of other sources"
[ -s "$work/short/old-results.jsonl" ] || fail "results of other sources are lost"

echo "gpu_check_test: passed (seed $seed)"
