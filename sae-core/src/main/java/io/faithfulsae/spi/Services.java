package io.faithfulsae.spi;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Finds implementations of an interface of ours: first with the class loader of the interface,
 * which in a fat jar is not the one of every thread; then with the thread's own, which in an
 * application server sees more.
 */
public final class Services {
  private Services() {}

  /**
   * One of each class, in the order in which they are found.
   *
   * @throws ServiceConfigurationError if one is registered and cannot be loaded
   */
  public static <S> List<S> load(Class<S> service) {
    return load(
        service,
        broken -> {
          throw broken;
        });
  }

  /**
   * As {@link #load(Class)}, past those that cannot be loaded.
   *
   * @param broken told of each that is registered and cannot be loaded
   */
  public static <S> List<S> load(Class<S> service, Consumer<ServiceConfigurationError> broken) {
    List<S> found = new ArrayList<>();
    Set<String> known = new HashSet<>();
    add(ServiceLoader.load(service, service.getClassLoader()), known, found, broken);
    ClassLoader ofThread = Thread.currentThread().getContextClassLoader();
    if (ofThread != service.getClassLoader() && knows(ofThread, service)) {
      add(ServiceLoader.load(service, ofThread), known, found, broken);
    }
    return found;
  }

  /** Whether it sees this very interface: what implements another copy of it is not for us. */
  private static boolean knows(@Nullable ClassLoader loader, Class<?> service) {
    if (loader == null) {
      return false;
    }
    try {
      return Class.forName(service.getName(), false, loader) == service;
    } catch (ClassNotFoundException | LinkageError e) {
      return false;
    }
  }

  private static <S> void add(
      ServiceLoader<S> loader,
      Set<String> known,
      List<S> to,
      Consumer<ServiceConfigurationError> broken) {
    Iterator<ServiceLoader.Provider<S>> providers = loader.stream().iterator();
    while (true) {
      try {
        if (!providers.hasNext()) {
          return;
        }
        ServiceLoader.Provider<S> provider = providers.next();
        if (known.add(provider.type().getName())) {
          to.add(provider.get());
        }
      } catch (ServiceConfigurationError e) {
        broken.accept(e);
      }
    }
  }
}
