package io.faithfulsae.examples;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.SharedFeatures.Options;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** Trains two SAEs that differ only in their seed, and prints which features both found. */
public final class CompareSeeds {
  private static final double SHARED = 0.7; // decoder cosine

  private CompareSeeds() {}

  /** Arguments: the folder that {@link TrainOnModel} wrote and, optionally, the number of rows. */
  public static void main(String[] args) throws IOException, InterruptedException {
    Path work = Path.of(args[0]);
    long rows = args.length > 1 ? Long.parseLong(args[1]) : 500_000;
    List<Path> folders = List.of(work.resolve("seed1"), work.resolve("seed2"));
    try (var backend = Backends.best();
        OnnxModel model = OnnxModel.open(work.resolve("model"));
        Tokenizer tokenizer = Tokenizer.open(work.resolve("model"))) {
      HookPoint hook = HookPoint.residPre(model.layers() / 2);
      var text = TokenSources.ofFile(work.resolve("text.jsonl"), tokenizer, 128);
      var filter = new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY); // skips position 0
      var activations = ActivationSources.ofModel(model, hook, text, filter, 16);
      SaeConfig shape = SaeConfig.topK(model.dModel(), 512, 8);
      var training = TrainingConfig.builder().tokens(rows).batch(512).bufferRows(8192).lr(3e-3);
      List<SaeTrainer> trainers =
          List.of(
              SaeTrainer.of(shape, training.seed(1).build(), backend),
              SaeTrainer.of(shape, training.seed(2).build(), backend));
      // Trained together, they share one run of the model.
      var runs = SaeTrainer.startTogether(trainers, activations, folders);
      try (var first = runs.get(0);
          var second = runs.get(1)) {
        first.await();
        second.await();
      }
      try (Sae a = Sae.load(folders.get(0), backend);
          Sae b = Sae.load(folders.get(1), backend)) {
        List<float[]> directions =
            IntStream.range(0, shape.dSae()).mapToObj(b::decoderDirection).toList();
        for (int latent = 0; latent < shape.dSae(); latent++) {
          float[] direction = a.decoderDirection(latent);
          for (int other = 0; other < shape.dSae(); other++) {
            double cosine = cosine(direction, directions.get(other));
            if (cosine > SHARED) {
              System.out.printf("latent %d is %d, cosine %.2f%n", latent, other, cosine);
            }
          }
        }
        System.out.println(
            "shared: " + Metrics.sharedFeatures(a, b, Options.decoder(SHARED)).topOneA());
      }
    }
  }

  private static double cosine(float[] a, float[] b) {
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  }

  private static double dot(float[] a, float[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> (double) a[i] * b[i]).sum();
  }
}
