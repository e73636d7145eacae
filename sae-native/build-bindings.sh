#!/usr/bin/env bash
# Copies the native libraries to where the jars are built from, and generates their Java bindings with JavaCPP:
#   sae_abi.h -> target/generated-sources/javacpp/**/SaeAbi.java -> libjniSaeAbi.so (next to libsae.so).
# Skips steps already done for the same header, preset and JavaCPP.
# usage: build-bindings.sh JAVA_HOME JAVACPP_JAR   (Maven calls it after build-native.sh and build-cuda.sh)
set -euo pipefail
cd "$(dirname "$0")"

java_home=$1
javacpp=$2
native=target/native
sources=target/generated-sources/javacpp
libs=target/classes/io/faithfulsae/jni/internal/linux-x86_64
include=src/main/native/include
preset=src/main/java/io/faithfulsae/jni/internal/SaeAbiPreset.java

mkdir -p "$libs"
# An unchanged copy keeps its time, so that nothing downstream is rebuilt.
put() { cmp -s "$1" "$2/${1##*/}" || cp "$1" "$2/"; }
put "$native/libsae.so" "$libs"
# The CUDA backend has a jar of its own, and also lies with the classes, for tests and gpu-check.sh.
cuda_jar=$native/cuda-jar
cuda_libs=$cuda_jar/${libs#target/classes/}
if [[ -e $native/cuda/libsae_cuda.so ]]; then
  mkdir -p "$cuda_libs" "$cuda_jar/META-INF"
  put "$native/cuda/libsae_cuda.so" "$libs"
  put "$native/cuda/libsae_cuda.so" "$cuda_libs"
  put ../LICENSE "$cuda_jar/META-INF"
  put ../NOTICE "$cuda_jar/META-INF"
else
  rm -rf "$libs/libsae_cuda.so" "$cuda_jar"
fi

id=$(cat "$0" "$include/sae_abi.h" "$preset" | sha256sum | cut -d' ' -f1)-${javacpp##*/}
if [[ -e $sources/io/faithfulsae/jni/internal/SaeAbi.java && -e $libs/libjniSaeAbi.so && $(cat "$native/bindings.id" 2>/dev/null) == "$id" ]]; then
  exit 0
fi

echo "generating Java bindings for sae_abi.h"
work=$native/bindings
rm -rf "$work" "$sources"
mkdir -p "$work" "$sources"
run_javacpp() {
  "$java_home/bin/java" -jar "$javacpp" -classpath "$work" -Dplatform.includepath="$include" \
    -Dplatform.linkpath="$libs" -Dplatform.linkpath.prefix2=-L "$@" 2>"$work/javacpp.log" || { cat "$work/javacpp.log" >&2; return 1; }
}
"$java_home/bin/javac" -proc:none -cp "$javacpp" -d "$work" "$preset"
run_javacpp -d "$sources" io.faithfulsae.jni.internal.SaeAbiPreset
"$java_home/bin/javac" -proc:none -cp "$javacpp:$work" -d "$work" "$sources/io/faithfulsae/jni/internal/SaeAbi.java"
run_javacpp -d "$work/lib" io.faithfulsae.jni.internal.SaeAbi
cp "$work/lib/libjniSaeAbi.so" "$libs/"
echo "$id" >"$native/bindings.id"
