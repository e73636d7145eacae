package io.faithfulsae.models;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.OrtSession.SessionOptions;
import io.faithfulsae.BackendException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** ONNX Runtime sessions over one checkpoint, each made when it is first needed. */
final class Sessions implements AutoCloseable {
  private final OrtEnvironment environment =
      OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
  private final Path weightsRoot;
  private final int threads;
  private final Map<String, OrtSession> sessions = new HashMap<>();

  /** Builds a graph. */
  interface Source {
    byte[] build() throws IOException;
  }

  Sessions(Path weightsRoot, int threads) {
    this.weightsRoot = weightsRoot;
    this.threads = threads;
  }

  OrtEnvironment environment() {
    return environment;
  }

  OrtSession get(String key, Source graph) {
    OrtSession known = sessions.get(key);
    if (known == null) {
      known = open(graph);
      sessions.put(key, known);
    }
    return known;
  }

  private OrtSession open(Source graph) {
    try (SessionOptions options = new SessionOptions()) {
      options.setIntraOpNumThreads(threads);
      // Idle threads sleep: spinning ones take the processor from whatever shares it, such as the
      // trainer.
      options.addConfigEntry("session.intra_op.allow_spinning", "0");
      options.setOptimizationLevel(SessionOptions.OptLevel.ALL_OPT);
      options.addConfigEntry(
          "session.model_external_initializers_file_folder_path", weightsRoot.toString());
      return environment.createSession(graph.build(), options);
    } catch (OrtException e) {
      throw new BackendException("loading a graph", "onnxruntime", String.valueOf(e.getMessage()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    for (OrtSession session : sessions.values()) {
      try {
        session.close();
      } catch (OrtException e) {
        System.getLogger(Sessions.class.getName())
            .log(System.Logger.Level.WARNING, "closing a session", e);
      }
    }
    sessions.clear();
  }
}
