package io.faithfulsae.examples;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The question of the study where the answer is known. A "model" has 192 features. Faithful rows
 * are made of these alone; shifted rows, as from text that is not the model's own, hold 16 planted
 * directions besides, which the model never uses. Noise excites the planted ones strongly. An SAE
 * that was trained on shifted rows has learnt the planted directions, and the Fake Feature Ratio
 * should count them; one that was trained on faithful rows has not, and it should count nothing.
 */
public final class GroundTruth {
  private static final int OWN = 192;
  private static final int PLANTED = 16;
  private static final int D_IN = 64;
  private static final double RATE = 2.0 / OWN; // two features of the model in a row, on average
  private static final SaeConfig SAE = SaeConfig.topK(D_IN, 512, 4);
  private static final TrainingConfig TRAINING =
      TrainingConfig.builder()
          .tokens(300_000)
          .batch(512)
          .bufferRows(8192)
          .lr(3e-3)
          .checkpointSteps(0)
          .build();
  private static final int ROWS = 20_000;

  private GroundTruth() {}

  /**
   * What one SAE shows.
   *
   * @param rows what it was trained on
   * @param seed of its training
   * @param recovered share of the model's own features that it found
   * @param noiseShare share of its latents that stand for nothing, planted features included as
   *     something
   * @param fake latents that the Fake Feature Ratio counts
   * @param planted different planted directions that these stand for
   */
  record Line(String rows, long seed, double recovered, double noiseShare, int fake, int planted) {}

  /** Trains four SAEs and prints a line for each; ten seconds on two cores. */
  public static void main(String[] args) throws IOException, InterruptedException {
    System.out.println("rows      seed  own features found  noise latents  fake  of them planted");
    for (Line line : run(Files.createTempDirectory("sae"))) {
      System.out.printf(
          "%-8s  %4d  %17.1f%%  %12.1f%%  %4d  %15d%n",
          line.rows(),
          line.seed(),
          100 * line.recovered(),
          100 * line.noiseShare(),
          line.fake(),
          line.planted());
    }
  }

  static List<Line> run(Path dir) throws IOException, InterruptedException {
    SyntheticFeatures features =
        SyntheticFeatures.builder(OWN + PLANTED, D_IN).magnitude(Magnitude.EXPONENTIAL).build();
    // One recipe, so one set of directions; what differs is which of them occur.
    SyntheticFeatures faithful = features.toBuilder().firing(each(RATE, 0)).build();
    SyntheticFeatures shifted = features.toBuilder().firing(each(RATE, RATE)).build();
    SyntheticFeatures noise =
        features.toBuilder()
            .firing(each(RATE, 0.15))
            .scale(each(1, 2))
            .magnitude(Magnitude.ONE)
            .build();
    List<Line> lines = new ArrayList<>();
    try (Backend backend = Backends.best()) {
      for (long seed = 1; seed <= 2; seed++) {
        lines.add(line("faithful", seed, faithful, faithful, noise, backend, dir));
      }
      for (long seed = 1; seed <= 2; seed++) {
        lines.add(line("shifted", seed, shifted, faithful, noise, backend, dir));
      }
    }
    return lines;
  }

  private static Line line(
      String name,
      long seed,
      SyntheticFeatures trainedOn,
      SyntheticFeatures faithful,
      SyntheticFeatures noise,
      Backend backend,
      Path dir)
      throws IOException, InterruptedException {
    Path to = dir.resolve(name + seed);
    ActivationSource rows = trainedOn.source(TRAINING.rows().tokens(), 1);
    TrainingConfig training = TRAINING.toBuilder().seed(seed).build();
    try (TrainingRun run = SaeTrainer.of(SAE, training, backend).start(rows, to)) {
      run.await();
    }
    try (Sae sae = Sae.load(to, backend)) {
      var truth = Metrics.groundTruth(sae, faithful.source(ROWS, 2), ROWS, 0.9);
      var latents = truth.latents();
      FakeFeatures fake =
          Metrics.fakeFeatures(
                  List.of(sae),
                  noise.source(ROWS, 3),
                  faithful.source(ROWS, 4),
                  FakeFeatures.Options.tokens(11).noiseTokens(ROWS).build())
              .get(0);
      long found =
          latents.stream()
              .filter(latent -> latent.cosine() > 0.9 && latent.feature() < OWN)
              .mapToInt(latent -> latent.feature())
              .distinct()
              .count();
      long planted =
          fake.fakeLatents().stream()
              .map(latents::get)
              .filter(latent -> latent.cosine() > 0.9 && latent.feature() >= OWN)
              .mapToInt(latent -> latent.feature())
              .distinct()
              .count();
      return new Line(
          name, seed, (double) found / OWN, truth.noiseShare(), fake.count(), (int) planted);
    }
  }

  /** One number for the model's own features, another for the planted ones. */
  private static PerFeature each(double own, double planted) {
    return PerFeature.given(
        IntStream.range(0, OWN + PLANTED).mapToDouble(f -> f < OWN ? own : planted).toArray());
  }
}
