package io.faithfulsae.examples;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.EmbeddedModel;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/** Trains an SAE on a language model's activations at a hook point. */
public final class TrainOnModel {
  private static final int CONTEXT = 128;

  private TrainOnModel() {}

  /**
   * Runs it: a minute on two cores.
   *
   * @param args a folder for the model, the text and the SAE; then, if you like, the number of
   *     activations to train on
   */
  public static void main(String[] args) throws IOException, InterruptedException {
    Path work = Path.of(args[0]);
    long rows = args.length > 1 ? Long.parseLong(args[1]) : 500_000;
    // The bundled model; any Hugging Face folder of a supported family will do.
    Path folder = EmbeddedModel.unpack(work.resolve("model"));
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      // Text that the model writes itself. For text of your own, give its file to TokenSources.
      GenerationConfig generation = GenerationConfig.of(rows / 10, CONTEXT, 1);
      Path text = work.resolve("text.jsonl");
      FaithfulDataset.write(model, tokenizer, generation, text, progress -> true);

      HookPoint hook = HookPoint.residPre(model.layers() / 2);
      // The first position and BOS have activations of extreme norm.
      ActivationFilter filter =
          new ActivationFilter(1, Set.of(model.bosToken()), Double.POSITIVE_INFINITY);
      ActivationSource activations =
          ActivationSources.ofModel(
              model, hook, TokenSources.ofFile(text, tokenizer, CONTEXT), filter, 16);
      TrainingConfig training =
          TrainingConfig.builder().tokens(rows).batch(512).bufferRows(8192).lr(3e-3).build();
      SaeTrainer trainer =
          SaeTrainer.of(SaeConfig.topK(model.dModel(), 512, 8), training, backend)
              .withMetadata(Map.of("model_name", model.name(), "hook_name", hook.toString()))
              .withListener(
                  progress -> {
                    if (progress.step() % 100 == 0) {
                      System.out.printf("%,9d rows, FVU %.3f%n", progress.tokens(), progress.fvu());
                    }
                  });
      try (TrainingRun run = trainer.start(activations, work.resolve("sae"))) {
        System.out.println("trained in " + run.await().steps() + " steps at " + hook);
      }
    }
  }
}
