package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The libraries as users get them: inside a jar, unpacked into JavaCPP's cache by another process.
 */
class PackagedJarTest {

  /** The main class of the other process. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      try (Backend backend = Backends.open("cpu");
          DeviceBuffer buffer = backend.allocate(64)) {
        System.out.println(backend.info().name() + " " + buffer.bytes());
      }
    }
  }

  @Test
  void loadsFromAJarAndMendsAStaleCache(@TempDir Path dir) throws Exception {
    Path classes =
        Path.of(NativeBackend.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    Path jar =
        classes.toString().endsWith(".jar")
            ? classes
            : pack(classes, dir.resolve("sae-native.jar"));
    Path cache = dir.resolve("cache");
    assertEquals("cpu 64", run(classes, jar, cache));

    Path library;
    try (Stream<Path> files = Files.walk(cache)) {
      library = files.filter(f -> f.endsWith("libsae.so")).findFirst().orElseThrow();
    }
    byte[] good = Files.readAllBytes(library);
    FileTime time = Files.getLastModifiedTime(library);
    Files.write(library, new byte[good.length]); // like another build with the same size and time
    Files.setLastModifiedTime(library, time);
    assertEquals("cpu 64", run(classes, jar, cache));
    assertTrue(Arrays.equals(good, Files.readAllBytes(library)), "unpacked again");
  }

  private static Path pack(Path classes, Path jar) throws IOException {
    try (OutputStream file = Files.newOutputStream(jar);
        JarOutputStream out = new JarOutputStream(file);
        Stream<Path> files = Files.walk(classes)) {
      for (Path each : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
        JarEntry entry = new JarEntry(classes.relativize(each).toString());
        entry.setTime(1_700_000_000_000L);
        out.putNextEntry(entry);
        Files.copy(each, out);
      }
    }
    return jar;
  }

  private static String run(Path classes, Path jar, Path cache)
      throws IOException, InterruptedException {
    String classPath =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator, -1))
            .map(entry -> Path.of(entry).toAbsolutePath().equals(classes) ? jar.toString() : entry)
            .collect(Collectors.joining(File.pathSeparator));
    return OtherProcess.run(
        Main.class, classPath, List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache));
  }
}
