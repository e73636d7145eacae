package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The libraries as users get them: inside a jar of their own, unpacked into JavaCPP's cache by
 * another process.
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

  /** The main class of a process that only asks. */
  static final class Ask {
    private Ask() {}

    public static void main(String[] args) {
      System.out.println(new CpuBackendProvider().probe().reason());
      System.out.println(new CudaBackendProvider().probe().reason());
      try {
        Backends.open("cpu").close();
      } catch (BackendUnavailableException e) {
        System.out.println(e.getMessage());
      }
    }
  }

  @Test
  void loadsFromAJarAndMendsAStaleCache(@TempDir Path dir) throws Exception {
    Path classes = pack(dir.resolve("sae-native.jar"), file -> !isLibrary(file));
    Path libraries = pack(dir.resolve("sae-native-linux-x86_64.jar"), PackagedJarTest::isLibrary);
    String jars = classes + File.pathSeparator + libraries;
    Path cache = dir.resolve("cache");
    assertEquals("cpu 64", run(Main.class, jars, cache));

    Path library;
    try (Stream<Path> files = Files.walk(cache)) {
      library = files.filter(f -> f.endsWith("libsae.so")).findFirst().orElseThrow();
    }
    byte[] good = Files.readAllBytes(library);
    FileTime time = Files.getLastModifiedTime(library);
    Files.write(library, new byte[good.length]); // like another build with the same size and time
    Files.setLastModifiedTime(library, time);
    assertEquals("cpu 64", run(Main.class, jars, cache));
    assertTrue(Arrays.equals(good, Files.readAllBytes(library)), "unpacked again");
  }

  @Test
  void withoutTheLibrariesItNamesTheMissingDependency(@TempDir Path dir) throws Exception {
    Path classes = pack(dir.resolve("sae-native.jar"), file -> !isLibrary(file));
    List<String> said = run(Ask.class, classes.toString(), dir.resolve("cache")).lines().toList();
    assertEquals(3, said.size(), said.toString());
    for (int i = 0; i < said.size(); i++) {
      String classifier = i == 1 ? "linux-x86_64-cuda" : "linux-x86_64";
      String wanted = "io.faithfulsae:sae-native with classifier " + classifier + " on";
      assertTrue(said.get(i).contains(wanted), said.get(i));
    }
  }

  private static boolean isLibrary(Path file) {
    return file.toString().contains("linux-x86_64");
  }

  private static Path classes() {
    String location =
        NativeBackend.class.getProtectionDomain().getCodeSource().getLocation().getPath();
    return Path.of(location);
  }

  private static Path pack(Path jar, Predicate<Path> which) throws IOException {
    Path classes = classes();
    try (OutputStream file = Files.newOutputStream(jar);
        JarOutputStream out = new JarOutputStream(file);
        Stream<Path> files = Files.walk(classes)) {
      for (Path each :
          (Iterable<Path>) files.filter(Files::isRegularFile).filter(which)::iterator) {
        JarEntry entry = new JarEntry(classes.relativize(each).toString());
        entry.setTime(1_700_000_000_000L);
        out.putNextEntry(entry);
        Files.copy(each, out);
      }
    }
    return jar;
  }

  /** Runs a class with the jars in place of our classes. */
  private static String run(Class<?> main, String jars, Path cache)
      throws IOException, InterruptedException {
    String classPath =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator, -1))
            .map(entry -> Path.of(entry).toAbsolutePath().equals(classes()) ? jars : entry)
            .collect(Collectors.joining(File.pathSeparator));
    return OtherProcess.run(main, classPath, List.of("-Dorg.bytedeco.javacpp.cachedir=" + cache));
  }
}
