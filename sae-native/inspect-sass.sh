#!/usr/bin/env bash
# Prints what kernels compile to: registers, local memory (stack, and spills as STL and LDL), and counts of the
# instructions that the tensor core kernels rely on, or that cost them much.
#   inspect-sass.sh LIBRARY [PATTERN]   e.g. target/native/cuda/libsae_cuda.so row_update
#   inspect-sass.sh --check LIBRARY     fails if a kernel has more of something than it should: expected_most below
# PATTERN: an extended regular expression for kernel names; default preact_kernel. HGMMA: wgmma; UTMALDG: a copy of
# TMA; MEMBAR: a fence; CCTL: an invalidation of L1; HMMA: mma.sync; LDGSTS: cp.async; LDSM: ldmatrix. Store 0, 1, 2:
# set, added, transposed (preact.h).
# Needs cuobjdump and nvdisasm, which setup-nvcc.sh brings, searched for like nvcc in build-cuda.sh.
set -euo pipefail

# ARCHITECTURE PATTERN COLUMN MOST, of single kernels. Counts of nvcc 13.0, spills with room for the next compiler.
expected_most='
sm_90a sm90::preact_kernel  MEMBAR 6
sm_90a sm90::preact_kernel  CCTL   2
sm_90a sm90::preact_kernel  STL    0
sm_90a sm90::preact_kernel  LDL    0
sm_90a sm90::preact_kernel  regs   168
sm_90a sm90::preact_kernel.*ListCandidates instr 5600
sm_80  sm80::preact_kernel  STL    0
sm_80  sm80::preact_kernel  LDL    0
sm_80  sm80::preact_kernel  regs   248
sm_.*  .                    STL    32
sm_.*  .                    LDL    32'

check=
if [ "${1:-}" = --check ]; then
    check=1
    shift
fi
if [ $# -lt 1 ] || [ $# -gt $((check ? 1 : 2)) ]; then
    echo "usage: $0 LIBRARY [PATTERN] | --check LIBRARY" >&2
    exit 2
fi
library=$1
pattern=${2:-preact_kernel}
if [ -n "$check" ]; then
    pattern=sae::cuda
fi
if [ ! -f "$library" ]; then
    echo "inspect-sass: expected a library from build-cuda.sh, got no file $library; run build-cuda.sh" >&2
    exit 1
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for bin in ${CUDA_HOME:+"$CUDA_HOME/bin"} /usr/local/cuda/bin "$here"/.venv/nvcc/lib/python3*/site-packages/nvidia/cu13/bin; do
    PATH=$PATH:$bin # cuobjdump runs nvdisasm by name
done
if ! command -v cuobjdump >/dev/null || ! command -v nvdisasm >/dev/null; then
    echo "inspect-sass: expected cuobjdump and nvdisasm on PATH or in CUDA_HOME, got none; run setup-nvcc.sh, or install the two wheels that it names into its folder" >&2
    exit 1
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
    if [ -n "$check" ]; then # all of them: twice as fast as by name
        cuobjdump -arch "$1" -sass "$library"
        return
    fi
    # cuobjdump warns about every object in the library that lacks one of the kernels
    cuobjdump -arch "$1" -sass -fun "$2" "$library" 2> >(grep -v '^cuobjdump warning : Function listed' >&2 || true)
}

columns='arch regs stack instr HGMMA UTMALDG MEMBAR CCTL HMMA LDGSTS LDSM STL LDL'
rows() {
    local arch names
    for arch in $(cut -d' ' -f1 <<<"$kernels" | sort -u); do
        names=$(awk -v arch="$arch" '$1 == arch { print $2 }' <<<"$kernels" | paste -sd,)
        { echo "$kernels"; disassemble "$arch" "$names"; } | awk -v arch="$arch" -v columns="$columns" '
            $1 == arch { wanted[$2] = 1; of[$2, "regs"] = $3; of[$2, "stack"] = $4 }
            /Function :/ {
                name = $3
                if (name in wanted) {
                    order[++kernels] = name
                    of[name, "arch"] = arch
                }
            }
            /^ +\/\*[0-9a-f]+\*\/ / {
                of[name, "instr"]++
                operation = $2 ~ /^@/ ? $3 : $2
                sub(/[.;].*/, "", operation)
                of[name, operation]++
            }
            END {
                n = split(columns, column, " ")
                for (i = 1; i <= kernels; i++) {
                    for (c = 1; c <= n; c++) {
                        printf "%s ", (order[i], column[c]) in of ? of[order[i], column[c]] : 0
                    }
                    print order[i]
                }
            }' | c++filt -p | sed -E 's/sae::cuda:://g; s/\(anonymous namespace\):://g'
    done
}

if [ -n "$check" ]; then
    rows | awk -v columns="$columns" -v most="$expected_most" '
        BEGIN {
            n = split(columns, column, " ")
            for (c = 1; c <= n; c++) {
                position[column[c]] = c
            }
            rules = split(most, rule, "\n")
        }
        {
            name = $0
            for (c = 1; c <= n; c++) {
                sub(/^[^ ]* /, "", name)
            }
            for (r = 1; r <= rules; r++) {
                if (split(rule[r], word, " ") == 4 && $1 ~ "^" word[1] "$" && name ~ word[2]) {
                    checked[r]++
                    if ($position[word[3]] > word[4] + 0) {
                        printf "inspect-sass: %s of %s: expected at most %d %s, got %d\n", name, $1, word[4], word[3], $position[word[3]]
                        failed = 1
                    }
                }
            }
        }
        END {
            for (r = 1; r <= rules; r++) {
                if (split(rule[r], word, " ") == 4 && !checked[r]) {
                    print "inspect-sass: expected a kernel for \"" rule[r] "\", got none"
                    failed = 1
                }
            }
            print "inspect-sass: " NR " kernels " (failed ? "checked, with failures" : "have no more fences and spills than expected")
            exit failed
        }' >&2
    exit
fi
{ echo "$columns kernel"; rows; } | awk '{
    name = $0
    for (c = 1; c < 14; c++) {
        sub(/^[^ ]* /, "", name)
    }
    printf "%-7s %5s %6s %6s %6s %8s %7s %5s %6s %7s %5s %4s %4s  %s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, name
}'
