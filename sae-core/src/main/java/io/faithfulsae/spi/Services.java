package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Finds implementations of one of this library's interfaces, first with the interface's class
 * loader, then with the thread's context class loader: in a fat jar they can differ, and in an
 * application server the second one sees more. Messages about them name the class and its jar.
 */
public final class Services {
  private static final Pattern PROVIDER = Pattern.compile("Provider (\\S+) ");

  private Services() {}

  /**
   * Loads one instance of each class, in the order found.
   *
   * @throws IllegalStateException if one is registered but cannot be loaded; the message names it
   *     and the file that registers it
   */
  public static <S> List<S> load(Class<S> service) {
    return load(
        service,
        broken -> {
          throw new IllegalStateException(broken);
        });
  }

  /**
   * Like {@link #load(Class)}, but skips those that cannot be loaded.
   *
   * @param broken gets a message for each that is registered but cannot be loaded
   */
  public static <S> List<S> load(Class<S> service, Consumer<String> broken) {
    List<S> found = new ArrayList<>();
    Set<String> known = new HashSet<>();
    ClassLoader own = service.getClassLoader();
    add(service, own, known, found, broken);
    ClassLoader ofThread = Thread.currentThread().getContextClassLoader();
    if (ofThread != null && ofThread != own && knows(ofThread, service)) {
      add(service, ofThread, known, found, broken);
    }
    return found;
  }

  /**
   * Loads one instance of each class, by name.
   *
   * @param own those that are not registered as services
   * @throws IllegalStateException if one cannot be loaded, throws when it is asked its name, or two
   *     have the same name
   */
  public static <S> SortedMap<String, S> byName(
      Class<S> service, List<S> own, Function<S, String> name) {
    SortedMap<String, S> all = new TreeMap<>();
    List<S> services = new ArrayList<>(own);
    services.addAll(load(service));
    for (S each : services) {
      String key;
      try {
        key = name.apply(each);
      } catch (RuntimeException | LinkageError e) {
        throw new IllegalStateException(failure(each, "say its name", e), e);
      }
      S other = all.put(key, each);
      if (other != null) {
        throw new IllegalStateException(several(service, key, List.of(other, each)));
      }
    }
    return all;
  }

  /**
   * Loads the instance of a name.
   *
   * @param kind in plural, for the message
   * @throws IllegalArgumentException if there is none; the message lists the names
   * @throws IllegalStateException as for {@link #byName}
   */
  public static <S> S named(
      Class<S> service, String kind, List<S> own, Function<S, String> name, String wanted) {
    SortedMap<String, S> all = byName(service, own, name);
    S found = all.get(wanted);
    if (found == null) {
      throw new IllegalArgumentException(
          Expected.message(
              "one of the installed " + kind + " " + all.keySet(),
              wanted,
              "choose one, or add its jar to the class path"));
    }
    return found;
  }

  /** The class of a service and the jar or folder that it is from. */
  public static String origin(Object service) {
    Class<?> type = service.getClass();
    CodeSource source = type.getProtectionDomain().getCodeSource();
    URL place = source == null ? null : source.getLocation();
    return type.getName() + (place == null ? "" : " in " + readable(place));
  }

  /** The message for services of one name. */
  public static String several(Class<?> service, String name, List<?> found) {
    return Expected.message(
        "one " + kind(service) + " \"" + name + "\"",
        String.join(" and ", found.stream().map(Services::origin).toList()),
        "remove one of them from the class path");
  }

  /**
   * The message for a service that throws what it must not.
   *
   * @param asked what it was asked to do, such as {@code "say its name"}
   */
  public static String failure(Object service, String asked, Throwable thrown) {
    return Expected.message(
        origin(service) + " to " + asked,
        thrown,
        "report it to the author of that class, or remove its jar from the class path");
  }

  private static String kind(Class<?> service) {
    Class<?> outer = service.getDeclaringClass();
    return (outer == null ? "" : outer.getSimpleName() + ".") + service.getSimpleName();
  }

  private static String readable(URL place) {
    try {
      return Path.of(place.toURI()).toString();
    } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException e) {
      return place.toString(); // a jar in a jar
    }
  }

  /**
   * Whether the loader resolves to this same interface; implementations of another copy of it are
   * unusable.
   */
  private static boolean knows(ClassLoader loader, Class<?> service) {
    try {
      return Class.forName(service.getName(), false, loader) == service;
    } catch (ClassNotFoundException | LinkageError e) {
      return false;
    }
  }

  private static <S> void add(
      Class<S> service,
      @Nullable ClassLoader loader,
      Set<String> known,
      List<S> to,
      Consumer<String> broken) {
    Iterator<ServiceLoader.Provider<S>> providers =
        ServiceLoader.load(service, loader).stream().iterator();
    while (true) {
      try {
        if (!providers.hasNext()) {
          return;
        }
        ServiceLoader.Provider<S> provider = providers.next();
        if (known.add(provider.type().getName())) {
          to.add(provider.get());
        }
      } catch (ServiceConfigurationError | LinkageError e) {
        broken.accept(broken(service, loader, e));
      }
    }
  }

  private static String broken(Class<?> service, @Nullable ClassLoader loader, Throwable e) {
    String message = String.valueOf(e.getMessage());
    Matcher provider = PROVIDER.matcher(message);
    List<String> files =
        provider.find() ? registrations(service, loader, provider.group(1)) : List.of();
    return Expected.message(
        "a " + kind(service) + " that can be loaded",
        (e instanceof LinkageError && !(e instanceof ServiceConfigurationError) ? e : message)
            + (e.getCause() == null ? "" : " (" + e.getCause() + ")")
            + (files.isEmpty() ? "" : ", registered in " + String.join(" and ", files)),
        "complete or remove its jar");
  }

  /** The files that register a class. */
  private static List<String> registrations(
      Class<?> service, @Nullable ClassLoader loader, String provider) {
    List<String> found = new ArrayList<>();
    try {
      ClassLoader from = loader == null ? ClassLoader.getPlatformClassLoader() : loader;
      for (URL file :
          Collections.list(from.getResources("META-INF/services/" + service.getName()))) {
        try (var in = file.openStream()) {
          String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
          if (text.lines().anyMatch(line -> line.split("#", 2)[0].strip().equals(provider))) {
            found.add(file.toString());
          }
        }
      }
    } catch (IOException e) {
      return found; // the message says less
    }
    return found;
  }
}
