#!/usr/bin/env bash
# Builds OUTDIR/libsae_cuda.so if there is a CUDA compiler; otherwise prints one line, builds nothing and exits with 0.
#   build-cuda.sh --bench OUTDIR   builds OUTDIR/gpu_bench as well (src/main/native/bench)
# Looks for nvcc in $CUDA_HOME, on PATH, in /usr/local/cuda and in sae-native/.venv/nvcc (setup-nvcc.sh).
# Incremental: an object is kept while its source, all headers, this script and the compiler are unchanged.
set -euo pipefail

bench=
if [ "${1:-}" = --bench ]; then
    bench=1
    shift
fi
if [ $# -ne 1 ]; then
    echo "usage: $0 [--bench] OUTDIR" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")" # paths in line information are relative
native=src/main/native

find_nvcc() {
    local candidate
    for candidate in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc \
        "$PWD"/.venv/nvcc/lib/python3*/site-packages/nvidia/cu13/bin/nvcc; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

nvcc=$(find_nvcc)
if [ -z "$nvcc" ]; then
    rm -f "$out/libsae_cuda.so" "$out/gpu_bench" # may be from older sources
    echo "build-cuda: no CUDA compiler (nvcc) found, so libsae_cuda.so is not built; run sae-native/setup-nvcc.sh DIR to get one"
    exit 0
fi
home=$(cd "$(dirname "$nvcc")/.." && pwd)

shopt -s nullglob

flags=(-O3 -std=c++20
    -gencode arch=compute_80,code=sm_80
    -gencode arch=compute_90a,code=sm_90a
    -gencode arch=compute_90,code=compute_90
    -Werror all-warnings -lineinfo
    -Xcompiler -fPIC,-Wall,-Wextra,-Werror,-fvisibility=hidden)

objects=$out/cuda-objects
mkdir -p "$objects"
common_hash=$({ "$nvcc" --version; cat build-cuda.sh "$native"/include/*.h "$native"/common/*.h "$native"/cuda/{,*/}*.{h,cuh}; } | sha256sum)

compile() { # SOURCE OBJECT
    "$nvcc" "${flags[@]}" -I"$native/include" -c -o "$2.part" "$1" && mv "$2.part" "$2"
}

wanted=()
running=()
for source in "$native"/cuda/{,*/}*.cu; do
    hash=$({ echo "$common_hash"; cat "$source"; } | sha256sum | cut -c1-16)
    object=$objects/$(basename "$source" .cu)-$hash.o
    wanted+=("$object")
    if [ ! -f "$object" ]; then
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
            wait -n || true # each job's own status is checked below
        done
        compile "$source" "$object" &
        running+=($!)
    fi
done
for job in "${running[@]}"; do
    wait "$job" || { echo "build-cuda: a CUDA source did not compile" >&2; exit 1; }
done

library=$out/libsae_cuda.so
if [ ! -f "$library" ] || [ "${wanted[*]}" != "$(cat "$objects/linked" 2>/dev/null)" ]; then
    echo '{ global: sae_backend_entry; local: *; };' >"$objects/exports.map"
    "$nvcc" -shared -cudart static -L"$home/lib" -L"$home/lib64" -Xlinker --version-script="$objects/exports.map" \
        -Xlinker -z,defs -Xcompiler -static-libstdc++,-static-libgcc -o "$library.part" "${wanted[@]}"
    exported=$(nm -D --defined-only "$library.part" | awk '{ print $3 }')
    if [ "$exported" != sae_backend_entry ]; then
        echo "build-cuda: expected sae_backend_entry to be the only exported symbol, got: $exported" >&2
        exit 1
    fi
    mv "$library.part" "$library"
    echo "${wanted[*]}" >"$objects/linked"
fi
if [ -n "$bench" ] && { [ "$library" -nt "$out/gpu_bench" ] || [ -n "$(find "$native"/bench -newer "$out/gpu_bench" 2>&1)" ]; }; then
    wraps=() # bench/hooks.cpp
    for symbol in cudaLaunchKernelExC __cudaLaunchKernel cudaMemcpyAsync cudaStreamSynchronize; do
        wraps+=(-Xlinker "--wrap=$symbol")
    done
    "$nvcc" "${flags[@]}" -I"$native/include" -cudart static -L"$home/lib" -L"$home/lib64" "${wraps[@]}" \
        -Xcompiler -static-libstdc++,-static-libgcc -o "$out/gpu_bench.part" "$native"/bench/*.cpp "$native"/bench/*.cu "${wanted[@]}" -ldl
    mv "$out/gpu_bench.part" "$out/gpu_bench"
fi
for object in "$objects"/*.o; do # objects of older sources
    [[ " ${wanted[*]} " == *" $object "* ]] || rm "$object"
done
echo "build-cuda: $library, $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'), ${#running[@]} of ${#wanted[@]} sources compiled"
