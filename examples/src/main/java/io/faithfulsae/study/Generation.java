package io.faithfulsae.study;

import io.faithfulsae.console.Interrupts;
import io.faithfulsae.console.Progress;
import io.faithfulsae.console.StoppedException;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

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
    try (Progress progress = Progress.start(name, "tokens", generation.tokenBudget())) {
      result =
          FaithfulDataset.write(
              model,
              tokenizer,
              generation,
              file,
              now -> {
                progress.at(Math.min(now.tokens(), now.tokenBudget()), now.records() + " texts");
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
}
