#!/usr/bin/env bash
# Runs the CUDA backend without a GPU: its sources compiled as C++ over src/test/native/cuda/on_cpu (CUDA's execution
# model on the CPU), under AddressSanitizer and UBSan, against double-precision definitions (backend_check.cpp), after
# tests of the stochastic rounding noise (rounding_noise_check.cpp), of rounding to 16 bits and its error bound
# (rounding_check.cpp), of the lists by latent (csc_check.cpp) and, at the sizes of real SAEs, of how often lists of
# candidates overflow (overflow_check.cpp) and of how many kernels a step runs (launch_count_check.cpp).
#   cuda-on-cpu.sh OUTDIR             build and check, with two thread orders
#   cuda-on-cpu.sh --brief OUTDIR     the same, but the sanitizers see each kernel in fewer cases
#   cuda-on-cpu.sh --library OUTDIR   only build OUTDIR/libsae_cuda.so, optimized and without sanitizers, for other tests
set -euo pipefail

library_only=
brief=()
case "${1:-}" in
    --library) library_only=1; shift ;;
    --brief) brief=(--brief); shift ;;
esac
if [ $# -ne 1 ]; then
    echo "usage: $0 [--library | --brief] OUTDIR" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1/cuda-on-cpu-objects"
out=$(cd "$1" && pwd)
native=$here/src/main/native
shim=$here/src/test/native/cuda/on_cpu

if [ -n "$library_only" ]; then
    mode=(-O2)
else
    mode=(-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
fi
common=(-std=c++20 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-psabi)
flags=("${mode[@]}" "${common[@]}")
blocks=(-DSAE_SUM_BLOCKS=3 -DSAE_STAGE_BYTES=4096 -DSAE_SPLIT_INNER=16)
small=(-DSAE_SCORE_BYTES=65536 -DSAE_RECOMPUTE_BYTES=65536 -DSAE_DENSE_BYTES=2048 "${blocks[@]}")
compile() { # OBJECTS FLAGS..., sources on stdin
    xargs -0 -P "$(nproc)" -I{} sh -c 'objects=$1; source=$2; shift 2
        exec "${CXX:-g++}" -x c++ "$@" -c "$source" -o "$objects/$(basename "$source").o"' \
        sh "$1" {} "${@:2}" -I"$shim" -I"$native/include"
}
rm -f "$out"/cuda-on-cpu-objects/*.o # those of sources that are gone would be linked too
printf '%s\0' "$native"/cuda/{,*/}*.cu "$shim"/cuda_on_cpu.cpp |
    compile "$out/cuda-on-cpu-objects" "${flags[@]}" "${small[@]}"
"${CXX:-g++}" "${mode[@]}" -shared -o "$out/libsae_cuda.so" "$out"/cuda-on-cpu-objects/*.o
if [ -n "$library_only" ]; then
    exit 0
fi

"${CXX:-g++}" "${flags[@]}" "${small[@]}" -I"$shim" -o "$out/rounding_noise_check" "$here/src/test/native/cuda/rounding_noise_check.cpp"
"$out/rounding_noise_check"
"${CXX:-g++}" "${flags[@]}" -I"$shim" -I"$native/include" -o "$out/rounding_check" "$here/src/test/native/cuda/rounding_check.cpp"
"$out/rounding_check"
"${CXX:-g++}" "${flags[@]}" -I"$shim" -I"$native/include" -o "$out/csc_check" "$here/src/test/native/cuda/csc_check.cpp" \
    "$out"/cuda-on-cpu-objects/{csc.cu,cuda_on_cpu.cpp}.o
ASAN_OPTIONS=detect_stack_use_after_return=0 "$out/csc_check"
"${CXX:-g++}" -O2 "${common[@]}" -I"$shim" -I"$native/include" -o "$out/overflow_check" \
    "$here/src/test/native/cuda/overflow_check.cpp" # the real constants
"$out/overflow_check"

# Without sanitizers, which cost four times as much: what counts launches, and the second order of threads.
optimized=$out/optimized
"$0" --library "$optimized"

# These sources decide how many launches there are; the others keep their small constants.
sized=("$native"/cuda/encode/{encode_topk,select}.cu "$native"/cuda/train/step_fused.cu "$native"/cuda/dead/choose_dead.cu)
rm -rf "$optimized/launch-count-objects"
mkdir "$optimized/launch-count-objects"
cp "$optimized"/cuda-on-cpu-objects/*.o "$optimized/launch-count-objects"
printf '%s\0' "${sized[@]}" | compile "$optimized/launch-count-objects" -O2 "${common[@]}" "${blocks[@]}"
"${CXX:-g++}" -shared -o "$optimized/launch-count-objects/libsae_cuda.so" "$optimized"/launch-count-objects/*.o
"${CXX:-g++}" -O2 "${common[@]}" -I"$native/include" -o "$optimized/launch_count_check" \
    "$here/src/test/native/cuda/launch_count_check.cpp" -ldl
"$optimized/launch_count_check" "$optimized/launch-count-objects/libsae_cuda.so"

"${CXX:-g++}" "${flags[@]}" -I"$native/include" -o "$out/backend_check" "$here/src/test/native/cuda/backend_check.cpp" -ldl
checks=()
CUDA_ON_CPU_SEED=1 ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1 \
    "$out/backend_check" "$out/libsae_cuda.so" "${brief[@]}" &
checks+=($!)
"${CXX:-g++}" -O2 "${common[@]}" -I"$native/include" -o "$optimized/backend_check" \
    "$here/src/test/native/cuda/backend_check.cpp" -ldl
CUDA_ON_CPU_SEED=2 "$optimized/backend_check" "$optimized/libsae_cuda.so" &
checks+=($!)
for check in "${checks[@]}"; do
    wait "$check"
done
