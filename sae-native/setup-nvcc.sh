#!/usr/bin/env bash
# Ensures that a CUDA compiler is available, and prints its CUDA_HOME on the last line of stdout.
#   setup-nvcc.sh DIR     e.g. export CUDA_HOME=$(sae-native/setup-nvcc.sh sae-native/.venv/nvcc | tail -n 1)
# An installed toolkit ($CUDA_HOME, nvcc on PATH, /usr/local/cuda) is used as is. Otherwise NVIDIA's compiler wheels, and
# those of the disassembler that inspect-sass.sh needs (about 280 MB together), are installed into a Python environment at
# DIR, with pip from its default index; nothing else on the machine changes. Running it again does nothing. Needs python3
# with venv.
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi

# 13.0 on purpose: a driver for CUDA 13.0 rejects PTX from a later compiler.
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    nvidia-cuda-cuobjdump==13.2.78 nvidia-cuda-nvdisasm==13.2.78) # there are none of 13.0; they read its binaries

on_path=$(command -v nvcc || true)
for home in "${CUDA_HOME:-}" "${on_path:+$(dirname "$(dirname "$(readlink -f "${on_path:-.}")")")}" /usr/local/cuda; do
    if [ -n "$home" ] && [ -x "$home/bin/nvcc" ]; then
        echo "setup-nvcc: a CUDA toolkit is already installed" >&2
        echo "$home"
        exit 0
    fi
done

dir=$1
marker=$dir/setup-nvcc.installed
if [ "$(cat "$marker" 2>/dev/null)" != "${wheels[*]}" ]; then
    python3 -m venv "$dir"
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "${wheels[@]}" >&2
    echo "${wheels[*]}" >"$marker"
fi
for home in "$(cd "$dir" && pwd)"/lib/python3*/site-packages/nvidia/cu13; do
    if [ -x "$home/bin/nvcc" ]; then
        echo "$home"
        exit 0
    fi
done
echo "setup-nvcc: expected bin/nvcc in the wheels under $dir, got none; delete $dir and run again" >&2
exit 1
