package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendUnavailableException;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ForkJoinPool;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which providers are found from threads with various class loaders. */
class BackendsClassLoaderTest {
  private static final ClassLoader SYSTEM = ClassLoader.getSystemClassLoader();
  private static final String REGISTRY = "META-INF/services/io.faithfulsae.spi.BackendProvider";

  @TempDir Path registered;

  @BeforeEach
  void register() throws IOException {
    register(Provider.class.getName());
  }

  /** Like Spring Boot's launcher: everything in one loader, which pool threads do not have. */
  @ParameterizedTest
  @ValueSource(strings = {"none", "platform", "system", "its own"})
  void aFatJarsProvidersAreFoundOnceInAPool(String context) throws Exception {
    try (URLClassLoader fatJar = fatJar()) {
      ClassLoader ofThread =
          switch (context) {
            case "none" -> null;
            case "platform" -> ClassLoader.getPlatformClassLoader();
            case "system" -> SYSTEM; // which has other copies of the same classes
            default -> fatJar;
          };
      Class<?> backends = fatJar.loadClass(Backends.class.getName());
      Object found = inPool(ofThread, () -> backends.getMethod("probe").invoke(null));
      assertEquals(
          List.of("strange", "java"), // the core brings the second
          ((List<?>) found).stream().map(BackendsClassLoaderTest::name).toList());
    }
  }

  @Test
  void theThreadsLoaderMaySeeMore() throws Exception {
    try (URLClassLoader web = new URLClassLoader(new URL[] {url(registered)}, SYSTEM)) {
      assertEquals(List.of("strange", "java"), names(inPool(web, Backends::probe)));
    }
    assertEquals(List.of("java"), names(inPool(SYSTEM, Backends::probe)));
  }

  /** A provider for another copy of the library is ignored, not reported as broken. */
  @Test
  void providersForAnotherCopyArePassedOver() throws Exception {
    try (URLClassLoader other = fatJar()) {
      assertEquals(List.of("java"), names(inPool(other, Backends::probe)));
    }
  }

  @Test
  void whatCannotBeLoadedIsNamedAndTheOthersAreFound() throws Exception {
    register("io.faithfulsae.Missing\n" + Provider.class.getName());
    try (URLClassLoader web = new URLClassLoader(new URL[] {url(registered)}, SYSTEM)) {
      List<BackendProvider.Availability> found = inPool(web, Backends::probe);
      assertEquals(List.of("strange", "java", "unknown"), names(found));
      assertTrue(found.get(2).reason().contains("io.faithfulsae.Missing"), found.toString());
    }
  }

  /** Of an Availability, perhaps of another class loader. */
  private static Object name(Object availability) {
    try {
      return availability.getClass().getMethod("name").invoke(availability);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("Availability", e);
    }
  }

  private static List<String> names(List<BackendProvider.Availability> found) {
    return found.stream().map(BackendProvider.Availability::name).toList();
  }

  private static <T> T inPool(ClassLoader context, Callable<T> work) throws Exception {
    ForkJoinPool pool = new ForkJoinPool(1);
    try {
      return pool.submit(
              () -> {
                Thread.currentThread().setContextClassLoader(context);
                return work.call();
              })
          .get();
    } finally {
      pool.shutdown();
    }
  }

  /** The library and its tests, and nothing else from the class path. */
  private URLClassLoader fatJar() throws MalformedURLException {
    return new URLClassLoader(
        new URL[] {place(Backends.class), place(Provider.class), url(registered)},
        ClassLoader.getPlatformClassLoader());
  }

  private void register(String providers) throws IOException {
    Path file = registered.resolve(REGISTRY);
    Files.createDirectories(file.getParent());
    Files.writeString(file, providers);
  }

  private static URL place(Class<?> in) {
    return in.getProtectionDomain().getCodeSource().getLocation();
  }

  private static URL url(Path folder) throws MalformedURLException {
    return folder.toUri().toURL();
  }

  /** Registered by these tests only. */
  public static final class Provider implements BackendProvider {
    @Override
    public String name() {
      return "strange";
    }

    @Override
    public int priority() {
      return 0;
    }

    @Override
    public Availability probe() {
      return new Availability(name(), false, "a test");
    }

    @Override
    public Backend open() {
      throw new BackendUnavailableException("a test");
    }
  }
}
