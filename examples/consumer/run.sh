#!/usr/bin/env bash
# Builds this project as a stranger would, outside the tree, with the library from a repository folder alone, and runs it on the class
# path and on the module path.
#   run.sh REPOSITORY [MAVEN OPTION...]    REPOSITORY: what "mvn deploy -Prelease" wrote; e.g. -Djackson.version=2.15.4
# JDKS: the homes of the JDKs to run it on, instead of JAVA_HOME or the java on PATH alone. Other libraries come from the local Maven repository
# (MAVEN_REPOSITORY, ~/.m2/repository), where building this library has put them, or else from Maven Central.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$1" && pwd)
shift
others=${MAVEN_REPOSITORY:-$HOME/.m2/repository}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/project" "$others"
cp -r "$here/pom.xml" "$here/src" "$work/project"
cat >"$work/settings.xml" <<SETTINGS
<settings>
  <profiles>
    <profile>
      <id>repositories</id>
      <repositories>
        <repository><id>library</id><url>file://$repository</url></repository>
        <repository><id>others</id><url>file://$others</url><snapshots><enabled>false</enabled></snapshots></repository>
      </repositories>
      <pluginRepositories>
        <pluginRepository><id>others</id><url>file://$others</url></pluginRepository>
      </pluginRepositories>
    </profile>
  </profiles>
  <activeProfiles><activeProfile>repositories</activeProfile></activeProfiles>
</settings>
SETTINGS
(cd "$work/project" && mvn -q -B -ntp -C -s "$work/settings.xml" -Dmaven.repo.local="$work/repository" package "$@")

jar=$work/project/target/consumer-1.0.jar
lib=$work/project/target/lib
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
native=io.faithfulsae.jni,org.bytedeco.javacpp,com.microsoft.onnxruntime,ai.djl.tokenizers,com.sun.jna
for home in ${JDKS:-$(dirname "$(dirname "$(readlink -f "$(command -v "$java")")")")}; do
    run() {
        mkdir "$work/out"
        "$home/bin/java" -XX:TieredStopAtLevel=1 -Dorg.bytedeco.javacpp.cachedir="$work/cache" "$@" "$work/out" 2>"$work/errors" ||
            { cat "$work/errors" >&2; exit 1; }
        # The JVM's one warning that the README names, whose other lines name no class; and ours that so short a training leaves latents dead.
        if grep '^WARNING' "$work/errors" | grep -v 'are dead after step\|protobuf\|^WARNING: A terminally deprecated\|will be removed in a future' >&2; then
            echo "$0: $home prints the warnings above" >&2
            exit 1
        fi
        rm -r "$work/out"
    }
    run --enable-native-access=ALL-UNNAMED -cp "$jar:$lib/*" com.example.consumer.Consumer
    run --add-modules java.se,ALL-MODULE-PATH --enable-native-access=$native \
        --module-path "$jar:$lib" --module com.example.consumer/com.example.consumer.Consumer
done
