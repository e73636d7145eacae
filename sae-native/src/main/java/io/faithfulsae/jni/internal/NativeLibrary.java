package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;

/**
 * Finds the native libraries in the jars, unpacks them once into JavaCPP's cache, and loads ours.
 * They come in jars of their own, one per platform: sae-native with a classifier.
 */
final class NativeLibrary {
  static {
    CacheFolder.choose();
  }

  /** The JVM's, as JavaCPP names it. */
  private static final String PLATFORM = Loader.getPlatform();

  private static final String LINUX = "linux-x86_64";
  private static final String OURS = "io/faithfulsae/jni/internal/" + PLATFORM + "/";
  private static final String OPENBLAS = "org/bytedeco/openblas/" + PLATFORM + "/";

  private static final Map<String, Optional<Path>> UNPACKED = new ConcurrentHashMap<>();

  private NativeLibrary() {}

  /**
   * Loads libsae.so and its JNI glue; further calls do nothing.
   *
   * @throws LinkageError if they are missing, cannot be loaded, or have the wrong version
   */
  static void load() {
    missing()
        .ifPresent(
            reason -> {
              throw new LinkageError(reason);
            });
    unpack(OURS + "libjniSaeAbi.so");
    int version = SaeAbi.sae_abi_version();
    if (version != SaeAbi.SAE_ABI_VERSION) {
      throw new LinkageError(
          Expected.message(
              "libsae.so of ABI version " + SaeAbi.SAE_ABI_VERSION,
              version,
              "keep only one version of sae-native on the class path"));
    }
  }

  /** What is missing if no jar has the CPU backend's library for this platform. */
  static Optional<String> missing() {
    return unpack(OURS + "libsae.so").isPresent() ? Optional.empty() : Optional.of(missing(LINUX));
  }

  /** What to say if the jar with a classifier is missing. */
  static String missing(String classifier) {
    return PLATFORM.equals(LINUX)
        ? Expected.message(
            "the jar io.faithfulsae:sae-native with classifier "
                + classifier
                + " on the class path or module path",
            "none",
            "add it as a dependency of scope runtime")
        : Expected.message(
            "native code for " + PLATFORM, "none", "use Linux on x86-64, or the java backend");
  }

  /** The CUDA backend's library: {@code -Dsae.cuda.library=PATH}, or the one in the jar, if any. */
  static Optional<Path> cuda() {
    String path = System.getProperty("sae.cuda.library");
    return path == null ? unpack(OURS + "libsae_cuda.so") : Optional.of(Path.of(path));
  }

  /**
   * OpenBLAS from org.bytedeco's jar, ready to be opened by libsae.so; its presets are not used.
   */
  static Optional<Path> openBlas() {
    // libgfortran.so.5 does not look for libquadmath.so.0 in its own folder, but finds it once it
    // is loaded.
    for (String dependency : new String[] {"libquadmath.so.0", "libgfortran.so.5"}) {
      unpack(OPENBLAS + dependency).ifPresent(file -> System.load(file.toString()));
    }
    return unpack(OPENBLAS + "libopenblas.so.0");
  }

  /** The text of this thread's last failed call. */
  static String lastError() {
    try (BytePointer text = SaeAbi.sae_last_error()) {
      return text == null || text.isNull() ? "no text" : text.getString();
    }
  }

  /** A resource as a file, unpacked and verified once. */
  private static Optional<Path> unpack(String resource) {
    return UNPACKED.computeIfAbsent(resource, NativeLibrary::unpackNow);
  }

  /**
   * JavaCPP caches by size and time, and all jars of a reproducible build have the same time: a
   * library is unpacked again if the cached file differs from the resource.
   */
  private static Optional<Path> unpackNow(String resource) {
    // Not the class's getResource: on the module path it searches the class's own module alone.
    URL url = NativeLibrary.class.getClassLoader().getResource(resource);
    if (url == null) {
      return Optional.empty();
    }
    try {
      if (url.getProtocol().equals("file")) {
        return Optional.of(Path.of(url.toURI()));
      }
      File file = Loader.cacheResource(url);
      if (!same(url, file.toPath())) {
        Files.deleteIfExists(file.toPath());
        file = Loader.cacheResource(url);
      }
      return Optional.of(file.toPath());
    } catch (IOException e) {
      throw new UncheckedIOException("unpacking " + url, e);
    } catch (URISyntaxException e) {
      throw new IllegalArgumentException(
          Expected.message("a resource with a path", url, "load sae-native from a jar or a folder"),
          e);
    }
  }

  private static boolean same(URL url, Path file) throws IOException {
    byte[] ours = new byte[1 << 16];
    byte[] theirs = new byte[1 << 16];
    try (InputStream a = url.openStream();
        InputStream b = Files.newInputStream(file)) {
      while (true) {
        int n = a.readNBytes(ours, 0, ours.length);
        int m = b.readNBytes(theirs, 0, theirs.length);
        if (!Arrays.equals(ours, 0, n, theirs, 0, m)) {
          return false;
        }
        if (n == 0) {
          return true;
        }
      }
    }
  }
}
