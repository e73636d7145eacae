#!/usr/bin/env bash
# Builds the native library; needs only g++.
#
#   build-native.sh [OUT]          OUT/libsae.so
#   build-native.sh --asan [OUT]   OUT/driver with AddressSanitizer and UBSan, and runs it
#   build-native.sh --tsan [OUT]   OUT/driver with ThreadSanitizer, and runs it
#   build-native.sh --compile-commands [OUT]
#                                  OUT/compile_commands.json for editors (clangd, CLion), and compiles nothing
#
# OUT defaults to target/native. SAE_TEST_BLAS: a libopenblas.so.0 for the driver to test as well.
# An object is recompiled if its source, any header or its command has changed. CXX selects another compiler;
# SAE_CXXFLAGS adds options, such as "-Og -g" for a debugger.
set -euo pipefail
cd "$(dirname "$0")"

mode=release
case "${1:-}" in
  --asan | --tsan | --compile-commands) mode=${1#--}; shift ;;
esac
out=${1:-target/native}
read -ra more <<< "${SAE_CXXFLAGS:-}"
mkdir -p "$out/objects-$mode"
objects=$(cd "$out/objects-$mode" && pwd)
cxx=${CXX:-g++}
native=src/main/native

flags=(-std=c++20 -O3 -g1 -fPIC -pthread -fvisibility=hidden -ffp-contract=off -fno-math-errno
  -Wall -Wextra -Werror "-ffile-prefix-map=$PWD=." -I"$native/include" -I"$native/common")
case $("$cxx" --version) in # GCC 12 warns of "text" + std::string in C++20 without a reason (GCC bug 105651)
  *"Free Software"*) flags+=(-Wno-restrict) ;;
esac
link=(-pthread -ldl)
sources=("$native"/common/*.cpp "$native"/cpu/*.cpp)
case $mode in
  release | compile-commands) ;;
  asan) flags+=(-O1 -fsanitize=address,undefined -fno-sanitize-recover=all) ;;
  tsan) flags+=(-O1 -fsanitize=thread) ;;
esac
flags+=("${more[@]}")
if [ "$mode" != release ]; then
  sources+=(src/test/native/cpu/*.cpp)
  link+=("${flags[@]}")
fi

# One instruction set per translation unit; opening a context chooses which one runs.
isa_flags() {
  case $1 in
    */kernels_avx2.cpp) echo -mavx2 -mfma ;;
    */screen_amx.cpp) echo -mamx-tile -mamx-bf16 ;;
    */screen_avx512bf16.cpp) echo -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mavx2 -mfma ;;
    */kernels_avx512.cpp) echo -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma ;;
  esac
}

if [ "$mode" = compile-commands ]; then
  rmdir "$objects"
  entries=()
  for source in "${sources[@]}"; do
    read -ra isa <<< "$(isa_flags "$source")"
    arguments=$(printf ', "%s"' "${flags[@]}" "${isa[@]}" -c "$source")
    entries+=("  {\"directory\": \"$PWD\", \"file\": \"$source\", \"arguments\": [\"$cxx\"$arguments]}")
  done
  (IFS=$'\n'; echo "["; echo "${entries[*]}" | sed '$!s/$/,/'; echo "]") > "$out/compile_commands.json"
  echo "$out/compile_commands.json"
  exit
fi

headers=$(cat "$native"/include/* "$native"/common/*.h "$native"/cpu/*.{h,inl} src/test/native/{,cpu/}*.h | sha256sum)
compile() {
  local source=$1 object=$2 command hash
  read -ra isa <<< "$(isa_flags "$source")"
  command=("$cxx" "${flags[@]}" "${isa[@]}" -c "$source" -o "$object")
  hash=$( (echo "$headers"; "$cxx" --version; echo "${command[@]}"; cat "$source") | sha256sum)
  if [ -f "$object" ] && [ "$hash" = "$(cat "$object.hash" 2> /dev/null || true)" ]; then
    return
  fi
  rm -f "$object.hash"
  "${command[@]}"
  echo "$hash" > "$object.hash"
}

linked=()
pids=()
for source in "${sources[@]}"; do
  object=$objects/$(basename "$(dirname "$source")")_$(basename "$source" .cpp).o
  linked+=("$object")
  compile "$source" "$object" &
  pids+=($!)
  if [ "${#pids[@]}" -ge "${JOBS:-$(nproc)}" ]; then
    wait "${pids[0]}"
    pids=("${pids[@]:1}")
  fi
done
for pid in "${pids[@]}"; do
  wait "$pid"
done

if [ "$mode" = release ]; then
  "$cxx" -shared -o "$out/libsae.so.new" "${linked[@]}" -static-libstdc++ -static-libgcc "-Wl,--version-script=$native/common/exports.map" \
    -Wl,-z,defs "${link[@]}"
  mv "$out/libsae.so.new" "$out/libsae.so"
else
  "$cxx" -o "$out/driver" "${linked[@]}" "${link[@]}"
  "$out/driver"
fi
