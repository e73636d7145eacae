package io.faithfulsae.study;

import io.faithfulsae.console.Interrupts;
import io.faithfulsae.console.Progress;
import io.faithfulsae.console.StoppedException;
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

  /** Samples a data set; what was begun is gone on with. */
  public static FaithfulDataset.Result run(
      String name, OnnxModel model, Tokenizer tokenizer, GenerationConfig generation, Path file)
      throws IOException {
    AtomicBoolean stop = new AtomicBoolean();
    FaithfulDataset.Result result;
    Interrupts.Registration onStop = Interrupts.onStop(() -> stop.set(true));
    try (Shown progress = new Shown(name)) {
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
          "stopped after %d tokens; the same command goes on from %s"
              .formatted(result.tokens(), result.file()));
    }
    return result;
  }

  /** Begins with the first report, so that the rate leaves out what an earlier run wrote. */
  private static final class Shown implements AutoCloseable {
    private final String name;
    private @Nullable Progress progress;

    Shown(String name) {
      this.name = name;
    }

    void at(GenerationProgress now) {
      long tokens = Math.min(now.tokens(), now.tokenBudget());
      Progress shown = progress;
      if (shown == null) {
        shown = Progress.start(name, "tokens", tokens, now.tokenBudget());
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
