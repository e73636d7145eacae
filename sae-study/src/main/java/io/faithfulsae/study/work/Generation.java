package io.faithfulsae.study.work;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.models.generate.GenerationProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** Samples faithful data sets with progress. */
public final class Generation {
  private Generation() {}

  /**
   * Samples a data set, resuming an interrupted run.
   *
   * @param name of the work, for the listener
   * @throws StoppedException if the listener stopped it; the file keeps the texts so far
   */
  public static FaithfulDataset.Result run(
      String name,
      OnnxModel model,
      Tokenizer tokenizer,
      GenerationConfig generation,
      Path file,
      WorkListener listener)
      throws IOException {
    AtomicBoolean stop = new AtomicBoolean();
    FaithfulDataset.Result result;
    WorkListener.Registration onStop = listener.onStop(() -> stop.set(true));
    try (Shown progress = new Shown(name, listener)) {
      result =
          FaithfulDataset.write(
              model,
              tokenizer,
              generation,
              file,
              now -> {
                progress.at(now);
                return !stop.get();
              });
    } finally {
      onStop.close();
    }
    if (!result.complete()) {
      throw new StoppedException(
          "stopped after %d tokens; the same command resumes %s"
              .formatted(result.tokens(), result.file()));
    }
    return result;
  }

  /** Starts with the first report, so that the rate excludes an earlier run's tokens. */
  private static final class Shown implements AutoCloseable {
    private final String name;
    private final WorkListener listener;
    private @Nullable WorkProgress progress;

    Shown(String name, WorkListener listener) {
      this.name = name;
      this.listener = listener;
    }

    void at(GenerationProgress now) {
      long tokens = Math.min(now.tokens(), now.tokenBudget());
      WorkProgress shown = progress;
      if (shown == null) {
        shown = listener.begin(name, "tokens", tokens, now.tokenBudget());
        progress = shown;
      }
      shown.at(tokens, now.records() + " texts");
    }

    @Override
    public void close() {
      if (progress != null) {
        progress.close();
      }
    }
  }
}
