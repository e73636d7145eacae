# Sourced by run-cpu.sh and run-families.sh: what both sides of a comparison share. Needs here, threads and python; sets
# jar, work (a folder that goes with the script), on_cpus and java.
jar=$here/target/benchmarks.jar
[ -f "$jar" ] || { echo "$jar is missing; mvn -DskipTests package" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MKL_NUM_THREADS=$threads

# Both sides get the same processors: the first $threads that this process may use.
cpus=$("$python" -c "import os; print(','.join(map(str, sorted(os.sched_getaffinity(0))[:$threads])))")
on_cpus() { taskset -c "$cpus" "$@"; }
java=("${JAVA_HOME:+$JAVA_HOME/bin/}java" --enable-native-access=ALL-UNNAMED "-Dsae.cpu.options=threads=$threads")
