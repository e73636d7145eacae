#!/usr/bin/env bash
# Prints what kernels compile to: registers, local memory (stack, and spills as STL and LDL), and counts of the
# instructions that the tensor core kernels rely on.
#   inspect-sass.sh LIBRARY [PATTERN]   e.g. target/native/cuda/libsae_cuda.so row_update
# PATTERN: an extended regular expression for kernel names; default preact_kernel. HGMMA: wgmma; UTMALDG: a copy of
# TMA; HMMA: mma.sync; LDGSTS: cp.async; LDSM: ldmatrix. Store 0, 1, 2: set, added, transposed (preact.h).
# Needs cuobjdump and nvdisasm, searched for like nvcc in build-cuda.sh; without them it says so and exits with 0.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 LIBRARY [PATTERN]" >&2
    exit 2
fi
library=$1
pattern=${2:-preact_kernel}
if [ ! -f "$library" ]; then
    echo "inspect-sass: expected a library from build-cuda.sh, got no file $library; run build-cuda.sh" >&2
    exit 1
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for bin in ${CUDA_HOME:+"$CUDA_HOME/bin"} /usr/local/cuda/bin "$here"/.venv/nvcc/lib/python3*/site-packages/nvidia/cu13/bin; do
    PATH=$PATH:$bin # cuobjdump runs nvdisasm by name
done
if ! command -v cuobjdump >/dev/null || ! command -v nvdisasm >/dev/null; then
    echo "inspect-sass: cuobjdump or nvdisasm not found, so nothing is inspected; pip install nvidia-cuda-cuobjdump==13.2.78 nvidia-cuda-nvdisasm==13.2.78 into the environment of setup-nvcc.sh"
    exit 0
fi

# ARCH NAME REGISTERS STACK of every matching kernel, with mangled names
kernels=$(cuobjdump -res-usage "$library" | awk '
    /^arch = / { arch = $3 }
    /^ Function / { name = $2; sub(/:$/, "", name) }
    /^  REG:/ { split($1, r, ":"); split($2, s, ":"); print arch, name, r[2], s[2] }' |
    while read -r arch name rest; do
        if c++filt "$name" | grep -qE "$pattern"; then
            echo "$arch $name $rest"
        fi
    done)
if [ -z "$kernels" ]; then
    echo "inspect-sass: expected kernels whose name matches $pattern, got none in $library" >&2
    exit 1
fi

disassemble() { # ARCH NAMES
    # cuobjdump warns about every object in the library that lacks one of the kernels
    cuobjdump -arch "$1" -sass -fun "$2" "$library" 2> >(grep -v '^cuobjdump warning : Function listed' >&2 || true)
}

format='%-7s %5s %6s %6s %6s %8s %6s %7s %6s %5s %5s  %s\n'
# shellcheck disable=SC2059
printf "$format" arch regs stack instr HGMMA UTMALDG HMMA LDGSTS LDSM STL LDL kernel
for arch in $(cut -d' ' -f1 <<<"$kernels" | sort -u); do
    names=$(awk -v arch="$arch" '$1 == arch { print $2 }' <<<"$kernels" | paste -sd,)
    { echo "$kernels"; disassemble "$arch" "$names"; } | awk -v arch="$arch" -v format="$format" '
        $1 == arch { registers[$2] = $3; stack[$2] = $4 }
        /Function :/ { name = $3; order[++kernels] = name }
        /^ +\/\*[0-9a-f]+\*\/ / {
            all[name]++
            operation = $2 ~ /^@/ ? $3 : $2
            sub(/[.;].*/, "", operation)
            count[name, operation]++
        }
        END {
            for (i = 1; i <= kernels; i++) {
                n = order[i]
                printf format, arch, registers[n], stack[n], all[n], count[n, "HGMMA"] + 0, count[n, "UTMALDG"] + 0,
                    count[n, "HMMA"] + 0, count[n, "LDGSTS"] + 0, count[n, "LDSM"] + 0, count[n, "STL"] + 0,
                    count[n, "LDL"] + 0, n
            }
        }' | c++filt -p | sed -E 's/sae::cuda:://g; s/\(anonymous namespace\):://g'
done
