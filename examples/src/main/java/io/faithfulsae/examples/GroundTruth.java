package io.faithfulsae.examples;

import static io.faithfulsae.synthetic.SyntheticFeatures.Magnitude.EXPONENTIAL;
import static io.faithfulsae.synthetic.SyntheticFeatures.Magnitude.ONE;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.GroundTruth.Latent;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The study's question with a known answer. A "model" has 192 features. Faithful rows consist of
 * these features alone; shifted rows also contain 16 planted directions, which noise activates. The
 * Fake Feature Ratio should count the planted ones in an SAE trained on shifted rows, and none in
 * an SAE trained on faithful rows.
 */
public final class GroundTruth {
  private static final int OWN = 192;
  private static final int PLANTED = 16;
  private static final int ROWS = 20_000;
  private static final double RATE = 2.0 / OWN; // two of the model's features per row on average
  // All three have the same directions; they differ in how often each occurs.
  private static final SyntheticFeatures FAITHFUL = features(0);
  private static final SyntheticFeatures NOISE =
      features(0.15).toBuilder().magnitude(ONE).scale(PerFeature.constant(2)).build();

  private GroundTruth() {}

  /** Prints own features found, fake latents and planted features found, for both kinds of rows. */
  public static void main(String[] args) throws IOException, InterruptedException {
    evaluate("faithful", FAITHFUL);
    evaluate("shifted", features(RATE));
  }

  private static SyntheticFeatures features(double planted) {
    double[] firing =
        IntStream.range(0, OWN + PLANTED).mapToDouble(f -> f < OWN ? RATE : planted).toArray();
    var recipe = SyntheticFeatures.builder(OWN + PLANTED, 64).magnitude(EXPONENTIAL);
    return recipe.firing(PerFeature.given(firing)).build();
  }

  private static void evaluate(String name, SyntheticFeatures rows)
      throws IOException, InterruptedException {
    Path dir = Files.createTempDirectory("sae");
    var shape = SaeConfig.topK(64, 512, 4);
    var training = TrainingConfig.builder().tokens(300_000).batch(512).lr(3e-3).build();
    try (var backend = Backends.best();
        var run = SaeTrainer.of(shape, training, backend).start(rows.source(300_000, 1), dir)) {
      run.await();
      try (Sae sae = Sae.load(dir, backend)) {
        var latents = Metrics.groundTruth(sae, FAITHFUL.source(ROWS, 2), ROWS, 0.9).latents();
        var noise = NOISE.source(ROWS, 3);
        var text = FAITHFUL.source(ROWS, 4);
        var options = FakeFeatures.Options.tokens(11).noiseTokens(ROWS).build();
        var fake = Metrics.fakeFeatures(List.of(sae), noise, text, options).get(0).fakeLatents();
        long own = found(latents.stream().filter(l -> l.feature() < OWN));
        long planted = found(fake.stream().map(latents::get).filter(l -> l.feature() >= OWN));
        System.out.printf("%s: own %d, fake %d, planted %d%n", name, own, fake.size(), planted);
      }
    }
  }

  /** Counts the features that the latents stand for. */
  private static long found(Stream<Latent> latents) {
    return latents.filter(l -> l.cosine() > 0.9).mapToInt(Latent::feature).distinct().count();
  }
}
