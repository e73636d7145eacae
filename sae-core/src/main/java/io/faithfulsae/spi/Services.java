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
 * Finds implementations of one of this library's interfaces, first with the interface's class
 * loader, then with the thread's context class loader: in a fat jar they can differ, and in an
 * application server the second one sees more.
 */
public final class Services {
  private Services() {}

  /**
   * Loads one instance of each class, in the order found.
   *
   * @throws ServiceConfigurationError if one is registered but cannot be loaded
   */
  public static <S> List<S> load(Class<S> service) {
    return load(
        service,
        broken -> {
          throw broken;
        });
  }

  /**
   * Like {@link #load(Class)}, but skips those that cannot be loaded.
   *
   * @param broken called for each that is registered but cannot be loaded
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

  /**
   * Whether the loader resolves to this same interface; implementations of another copy of it are
   * unusable.
   */
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
