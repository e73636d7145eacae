package io.faithfulsae.models;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/**
 * Calls DJL with its network use turned off. When a tokenizer is opened, DJL queries the cloud
 * machine's id and reports it with DJL's version; the first time on a machine with CUDA, it also
 * downloads a native library. Only system properties turn these off, and the host program shares
 * them: they are set for the call and restored afterwards, and they affect nothing else ({@code
 * ai.djl.offline} would block the host's own downloads in the meantime).
 *
 * <p>DJL loads its native library with the thread's context class loader, which may not see it, so
 * the call runs with ours.
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
          (key, ours) -> { // unless someone has changed it in the meantime
            if (before.containsKey(key)) {
              system.replace(key, ours, before.get(key));
            } else {
              system.remove(key, ours);
            }
          });
    }
  }
}
