package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendUnavailableException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The backend {@code java}: plain Java, on any processor and operating system. It is preferred to
 * nothing: others are used where they can run. {@code -Dsae.java.options="threads=2"} sets the
 * number of threads, by default that of processors.
 */
public final class JavaBackendProvider implements BackendProvider {
  private static final Pattern OPTIONS = Pattern.compile("threads=([1-9][0-9]{0,3})");

  /** For {@link java.util.ServiceLoader}. */
  public JavaBackendProvider() {}

  @Override
  public String name() {
    return JavaBackend.NAME;
  }

  @Override
  public int priority() {
    return -100;
  }

  @Override
  public Availability probe() {
    return new Availability(name(), true, device());
  }

  /** What Java runs on. */
  static String device() {
    return "plain Java on "
        + System.getProperty("os.name")
        + " "
        + System.getProperty("os.arch")
        + ", JVM "
        + System.getProperty("java.version");
  }

  @Override
  public Backend open() {
    return open(System.getProperty("sae.java.options", ""));
  }

  @Override
  public Backend open(String options) {
    if (options.isEmpty()) {
      return new JavaBackend(Runtime.getRuntime().availableProcessors());
    }
    Matcher threads = OPTIONS.matcher(options);
    if (!threads.matches()) {
      throw new BackendUnavailableException(
          Expected.message(
              "threads=NUMBER for backend \"java\"", options, "it has no other option"));
    }
    return new JavaBackend(Integer.parseInt(threads.group(1)));
  }
}
