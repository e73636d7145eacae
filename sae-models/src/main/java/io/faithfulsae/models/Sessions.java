package io.faithfulsae.models;

import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxRuntime.Keeping;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.spi.BackendException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;

/** The sessions of one checkpoint, each created when first needed. */
final class Sessions implements AutoCloseable {
  private final OnnxRuntime runtime;
  private final OnnxRuntime.Loading loading;
  private final Check check;
  private final Map<String, OnnxSession> sessions = new HashMap<>();

  /** Looks at the weights' files before a session is opened or run. */
  interface Check {
    void run() throws IOException;
  }

  /** Builds a graph. */
  interface Source {
    byte[] build() throws IOException;
  }

  /**
   * @param runtime closed with this
   * @param check throws if the weights can no longer be read
   */
  Sessions(OnnxRuntime runtime, OnnxRuntime.Loading loading, Check check) {
    this.runtime = runtime;
    this.loading = loading;
    this.check = check;
  }

  /** Requires that the weights' files are as they were. */
  void check() {
    try {
      check.run();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  OnnxSession get(String key, Source graph) {
    return get(key, loading.keeping(), graph);
  }

  /**
   * Opens a session that does not use the default {@code keeping}.
   *
   * @param keeping applied when the session is created
   */
  OnnxSession get(String key, Keeping keeping, Source graph) {
    check();
    OnnxSession known = sessions.get(key);
    if (known == null) {
      known =
          open(
              graph,
              new OnnxRuntime.Loading(
                  loading.weightsRoot(), loading.threads(), keeping, loading.weights()));
      sessions.put(key, known);
    }
    return known;
  }

  private OnnxSession open(Source graph, OnnxRuntime.Loading how) {
    try {
      return runtime.open(graph.build(), how);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    for (OnnxSession session : sessions.values()) {
      try {
        session.close();
      } catch (BackendException e) {
        System.getLogger(Sessions.class.getName())
            .log(System.Logger.Level.WARNING, "closing a session", e);
      }
    }
    sessions.clear();
    runtime.close();
  }
}
