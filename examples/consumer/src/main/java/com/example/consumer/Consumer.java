package com.example.consumer;

import com.fasterxml.jackson.core.json.PackageVersion;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.EmbeddedModel;
import io.faithfulsae.study.StudyFile;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Trains an SAE on a language model's activations, saves it, loads it, and evaluates it. */
public final class Consumer {
  private Consumer() {}

  /** Argument: an empty folder. */
  public static void main(String[] args) throws IOException, InterruptedException {
    Path dir = Path.of(args[0]);
    Path text = dir.resolve("text.txt");
    Files.writeString(text, "once upon a time a little dog ran to the big tree . ".repeat(200));
    Path folder = EmbeddedModel.unpack(dir.resolve("model"));
    try (Backend backend = Backends.open("cpu");
        OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      var tokens = TokenSources.ofFile(text, tokenizer, 32);
      var rows =
          ActivationSources.ofModel(
              model, HookPoint.residPre(2), tokens, ActivationFilter.NONE, 8);
      var training = TrainingConfig.builder().tokens(6_000).batch(200).lr(1e-3).build();
      var trainer = SaeTrainer.of(SaeConfig.topK(model.dModel(), 256, 8), training, backend);
      try (var run = trainer.start(rows, dir.resolve("sae"))) {
        run.await();
      }
      try (Sae sae = Sae.load(dir.resolve("sae"), backend)) {
        double fvu = Metrics.reconstruction(sae, rows, 1_000).fvu();
        if (!(fvu > 0 && fvu < 0.9)) {
          throw new IllegalStateException("expected an FVU between 0 and 0.9, got " + fvu);
        }
      }
    }
    Path study = dir.resolve("study.yaml");
    Files.writeString(study, "seeds: [1, 2]\ntraining: {batch: 128}\n");
    int models = StudyFile.read(study).models().size();
    System.out.printf(
        "consumer on the %s path, Java %d, Jackson %s, %d model: ok%n",
        Consumer.class.getModule().isNamed() ? "module" : "class",
        Runtime.version().feature(),
        PackageVersion.VERSION,
        models);
  }
}
