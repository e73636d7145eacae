package io.faithfulsae;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendProvider.Availability;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.Services;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Finds and opens a {@link Backend}. Providers are found by {@link ServiceLoader}, first with the
 * class loader of this class, then with the thread's context class loader. The system property
 * {@code sae.backend} selects one by name; if it cannot be opened, an exception says why, and no
 * other backend is tried. The backend in use, and each one that was rejected, is logged once; what
 * is missing for a faster one as a warning, if all that can run is the one in plain Java.
 */
public final class Backends {
  private static final Logger LOG = System.getLogger(Backends.class.getName());
  private static final String PROPERTY = "sae.backend";
  private static final Set<String> LOGGED = ConcurrentHashMap.newKeySet();

  private Backends() {}

  /**
   * Opens the backend named by {@code -Dsae.backend=NAME}, or without that property the usable one
   * with the highest priority. <b>Closed by</b> the caller.
   *
   * @throws BackendUnavailableException if there is none; the message has every provider's reason
   */
  public static Backend best() {
    return best(providers(), System.getProperty(PROPERTY));
  }

  /**
   * Opens a backend by name. <b>Closed by</b> the caller.
   *
   * @param name such as {@code "cpu"} or {@code "cuda"}
   * @throws BackendUnavailableException if it is unknown or cannot run here; the message has every
   *     provider's reason
   */
  public static Backend open(String name) {
    return open(providers(), name);
  }

  /**
   * Opens a backend by name with the given options, which override those of the system property:
   * {@code open("cuda", "device=1")} opens the second GPU. <b>Closed by</b> the caller.
   *
   * @param name such as {@code "cpu"} or {@code "cuda"}
   * @param options in the backend's own syntax; empty for none
   * @throws BackendUnavailableException if it is unknown or cannot run here; the message has every
   *     provider's reason, or if it cannot run with these options
   */
  public static Backend open(String name, String options) {
    return open(providers(), name, provider -> provider.open(options));
  }

  /** Whether each provider can run here, highest priority first. */
  public static List<Availability> probe() {
    return probe(providers());
  }

  static Backend best(List<BackendProvider> providers, @Nullable String forced) {
    if (forced != null && !forced.isBlank()) {
      return open(providers, forced.strip());
    }
    List<Availability> unusable = new ArrayList<>();
    for (BackendProvider provider : byPriority(providers)) {
      Availability availability = probe(provider);
      if (availability.usable()) {
        try {
          Backend backend = opened(provider, availability, BackendProvider::open);
          if (provider.priority() < 0) {
            logOnce(Level.WARNING, slow(provider.name(), unusable));
          }
          return backend;
        } catch (BackendUnavailableException e) {
          availability = new Availability(provider.name(), false, String.valueOf(e.getMessage()));
        }
      }
      unusable.add(availability);
      logOnce(Level.INFO, "not using backend " + line(availability));
    }
    throw new BackendUnavailableException(
        Expected.message("a backend that can run here", lines(unusable), "see each reason"));
  }

  private static String slow(String name, List<Availability> faster) {
    return "backend "
        + name
        + " is slow; a faster one is missing: "
        + lines(faster)
        + "; see docs/backends.md";
  }

  static Backend open(List<BackendProvider> providers, String name) {
    return open(providers, name, BackendProvider::open);
  }

  private static Backend open(
      List<BackendProvider> providers, String name, Function<BackendProvider, Backend> opening) {
    List<BackendProvider> named =
        providers.stream().filter(provider -> provider.name().equals(name)).toList();
    if (named.size() > 1) {
      throw new BackendUnavailableException(Services.several(Backend.class, name, named));
    }
    for (BackendProvider provider : named) {
      Availability availability = probe(provider);
      if (availability.usable()) {
        return opened(provider, availability, opening);
      }
    }
    throw new BackendUnavailableException(
        Expected.message(
            "backend \"" + name + "\"",
            lines(probe(providers)),
            "see its reason, or ask for another with -D" + PROPERTY + "=NAME"));
  }

  static List<Availability> probe(List<BackendProvider> providers) {
    return byPriority(providers).stream().map(Backends::probe).toList();
  }

  private static Backend opened(
      BackendProvider provider,
      Availability availability,
      Function<BackendProvider, Backend> opening) {
    Backend backend;
    try {
      backend = opening.apply(provider);
    } catch (BackendUnavailableException | BackendException | IllegalArgumentException e) {
      throw e;
    } catch (RuntimeException | LinkageError e) {
      throw new BackendUnavailableException(Services.failure(provider, "open its backend", e), e);
    }
    logOnce(Level.INFO, "using backend " + line(availability));
    return backend;
  }

  /** Probes a provider; one that throws, which it must not, is unusable for that reason. */
  private static Availability probe(BackendProvider provider) {
    try {
      return provider.probe();
    } catch (RuntimeException | LinkageError e) {
      return new Availability(
          provider.name(), false, Services.failure(provider, "say whether it can run", e));
    }
  }

  private static List<BackendProvider> byPriority(List<BackendProvider> providers) {
    return providers.stream()
        .sorted(
            Comparator.comparingInt(BackendProvider::priority)
                .reversed()
                .thenComparing(BackendProvider::name))
        .toList();
  }

  private static List<BackendProvider> providers() {
    List<BackendProvider> broken = new ArrayList<>();
    List<BackendProvider> found =
        new ArrayList<>(
            Services.load(BackendProvider.class, message -> broken.add(new Broken(message))));
    found.addAll(broken);
    return found;
  }

  /** A provider that is registered but cannot be loaded. */
  private record Broken(String reason) implements BackendProvider {
    @Override
    public String name() {
      return "unknown";
    }

    @Override
    public int priority() {
      return Integer.MIN_VALUE;
    }

    @Override
    public Availability probe() {
      return new Availability(name(), false, reason);
    }

    @Override
    public Backend open() {
      throw new BackendUnavailableException(reason);
    }
  }

  private static String lines(List<Availability> all) {
    if (all.isEmpty()) {
      return "no backend on the class path (add the dependency io.faithfulsae:sae-native)";
    }
    return String.join("; ", all.stream().map(Backends::line).toList());
  }

  private static String line(Availability a) {
    return a.name() + " (" + (a.usable() ? "usable: " : "") + a.reason() + ")";
  }

  private static void logOnce(Level level, String message) {
    if (LOGGED.add(message)) {
      LOG.log(level, message);
    }
  }
}
