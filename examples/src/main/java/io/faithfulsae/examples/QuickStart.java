package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Trains an SAE on rows with 256 known features, encodes with it, and evaluates it. */
public final class QuickStart {
  private QuickStart() {}

  /** Argument, optional: the folder for the SAE, instead of a temporary one. */
  public static void main(String[] args) throws IOException, InterruptedException {
    run(args.length > 0 ? Path.of(args[0]) : Files.createTempDirectory("sae"));
  }

  static void run(Path dir) throws IOException, InterruptedException {
    var rows = SyntheticFeatures.superposition(256, 64, 3, Magnitude.UNIFORM, 0, 400_000, 1);
    var shape = SaeConfig.topK(64, 512, 4);
    var training = TrainingConfig.recommended(shape, 400_000);
    try (Backend backend = Backends.best();
        var run = SaeTrainer.of(shape, training, backend).start(rows, dir);
        var x = ActivationBatch.allocate(backend, 1, 64)) {
      run.await();
      x.add(rows.directions()[7]);
      try (Sae sae = Sae.load(dir, backend);
          Latents latents = sae.encode(x)) {
        System.out.println("true feature 7 is latent " + latents.row(0).get(0).latent());
        System.out.println("FVU " + Metrics.reconstruction(sae, rows, 10_000).fvu());
      }
    }
  }
}
