package io.faithfulsae;

import io.faithfulsae.spi.Backend;
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
 * Finds and opens a {@link Backend}. Providers are found by {@link ServiceLoader}, with the class
 * loader of this class and then with the thread's context class loader. The system property {@code
 * sae.backend} forces one by name: it is opened, or the reason why not is thrown; nothing slower is
 * taken in its place. The choice, and each refusal, is logged once.
 */
public final class Backends {
  private static final Logger LOG = System.getLogger(Backends.class.getName());
  private static final String PROPERTY = "sae.backend";
  private static final Set<String> LOGGED = ConcurrentHashMap.newKeySet();

  private Backends() {}

  /**
   * Opens the backend of {@code -Dsae.backend=NAME}, or without that property the usable one of the
   * highest priority. <b>Closed by</b> the caller.
   *
   * @throws BackendUnavailableException if there is none, with every provider's reason
   */
  public static Backend best() {
    return best(providers(), System.getProperty(PROPERTY));
  }

  /**
   * Opens a backend by name. <b>Closed by</b> the caller.
   *
   * @param name such as {@code "cpu"} or {@code "cuda"}
   * @throws BackendUnavailableException if it is unknown or cannot run here, with every provider's
   *     reason
   */
  public static Backend open(String name) {
    return open(providers(), name);
  }

  /**
   * Opens a backend by name with options of its own, in place of those of a system property: {@code
   * open("cuda", "device=1")} is the second GPU. <b>Closed by</b> the caller.
   *
   * @param name such as {@code "cpu"} or {@code "cuda"}
   * @param options as the backend takes them; empty: none
   * @throws BackendUnavailableException if it is unknown or cannot run here, with every provider's
   *     reason, or cannot run with these options
   */
  public static Backend open(String name, String options) {
    return open(providers(), name, provider -> provider.open(options));
  }

  /** Every provider's word on whether it can run here, highest priority first. */
  public static List<Availability> probe() {
    return probe(providers());
  }

  static Backend best(List<BackendProvider> providers, @Nullable String forced) {
    if (forced != null && !forced.isBlank()) {
      return open(providers, forced.strip());
    }
    List<Availability> refusals = new ArrayList<>();
    for (BackendProvider provider : byPriority(providers)) {
      Availability availability = probe(provider);
      if (availability.usable()) {
        try {
          return opened(provider, availability, BackendProvider::open);
        } catch (BackendUnavailableException e) {
          availability = new Availability(provider.name(), false, String.valueOf(e.getMessage()));
        }
      }
      refusals.add(availability);
      logOnce(Level.INFO, "not using backend " + line(availability));
    }
    throw new BackendUnavailableException(
        "expected a backend that can run here, got " + lines(refusals) + "; see each reason");
  }

  static Backend open(List<BackendProvider> providers, String name) {
    return open(providers, name, BackendProvider::open);
  }

  private static Backend open(
      List<BackendProvider> providers, String name, Function<BackendProvider, Backend> opening) {
    for (BackendProvider provider : providers) {
      if (provider.name().equals(name)) {
        Availability availability = probe(provider);
        if (availability.usable()) {
          return opened(provider, availability, opening);
        }
      }
    }
    throw new BackendUnavailableException(
        "expected backend \""
            + name
            + "\", got "
            + lines(probe(providers))
            + "; see its reason, or ask for another with -D"
            + PROPERTY
            + "=NAME");
  }

  static List<Availability> probe(List<BackendProvider> providers) {
    return byPriority(providers).stream().map(Backends::probe).toList();
  }

  private static Backend opened(
      BackendProvider provider,
      Availability availability,
      Function<BackendProvider, Backend> opening) {
    Backend backend = opening.apply(provider);
    logOnce(Level.INFO, "using backend " + line(availability));
    return backend;
  }

  /** Asks a provider; one that breaks its promise not to throw is unusable, and says why. */
  private static Availability probe(BackendProvider provider) {
    try {
      return provider.probe();
    } catch (RuntimeException | LinkageError e) {
      return new Availability(provider.name(), false, e.toString());
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
            Services.load(BackendProvider.class, e -> broken.add(new Broken(e.toString()))));
    found.addAll(broken);
    return found;
  }

  /** A provider that is registered and cannot be loaded. */
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
