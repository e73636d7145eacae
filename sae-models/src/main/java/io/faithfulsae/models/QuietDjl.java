package io.faithfulsae.models;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/**
 * Calls DJL without what it does over a network. Opening a tokenizer asks for the cloud machine's
 * id, to report it with DJL's version; the first time, on a machine with CUDA, it fetches a native
 * library for that. Both are turned off by system properties alone, which are the host's as well:
 * so they are there for a call and then as they were, and they are the ones that mean no more than
 * this ({@code ai.djl.offline} would stop the host's own downloads meanwhile).
 *
 * <p>DJL looks for its native library with the thread's class loader, which may not see it: for the
 * call, the thread has ours.
 */
final class QuietDjl {
  /** No report; the CPU's native library, which is in the jar. */
  private static final Map<String, String> PROPERTIES =
      Map.of("OPT_OUT_TRACKING", "true", "RUST_FLAVOR", "cpu");

  private QuietDjl() {}

  /** A call that reads files. */
  interface Call<T> {
    T run() throws IOException;
  }

  static synchronized <T> T call(Call<T> call) throws IOException {
    Properties system = System.getProperties();
    Map<String, Object> before = new HashMap<>();
    PROPERTIES.forEach(
        (key, ours) -> {
          Object theirs = system.put(key, ours);
          if (theirs != null) {
            before.put(key, theirs);
          }
        });
    Thread thread = Thread.currentThread();
    ClassLoader loader = thread.getContextClassLoader();
    thread.setContextClassLoader(QuietDjl.class.getClassLoader());
    try {
      return call.run();
    } finally {
      thread.setContextClassLoader(loader);
      PROPERTIES.forEach(
          (key, ours) -> { // unless someone has changed it meanwhile
            if (before.containsKey(key)) {
              system.replace(key, ours, before.get(key));
            } else {
              system.remove(key, ours);
            }
          });
    }
  }
}
