package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.metrics.Assignment;
import io.faithfulsae.metrics.GroundTruth;
import io.faithfulsae.metrics.GroundTruth.Latent;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.synthetic.SyntheticFeatures.Superposition;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** Matches the latents of an SAE with known features and counts the rows in which both fire. */
public final class FeatureRecovery {
  private final int features;
  private final int dSae;
  private final double[] bestOfFeature; // largest cosine of any latent, with its sign
  private final double[] bestOfLatent;
  private final int[] own; // the feature with the largest |cosine|
  private final double[] ownCosine;
  private final double meanCorrelation;
  private final long[] fires; // rows in which a latent fires
  private final long[] hits; // rows in which its own feature fires too

  private FeatureRecovery(Sae sae, Sae known) {
    this.features = known.config().dSae();
    this.dSae = sae.config().dSae();
    this.bestOfFeature = filled(features);
    this.bestOfLatent = filled(dSae);
    this.own = new int[dSae];
    this.ownCosine = new double[dSae];
    this.fires = new long[dSae];
    this.hits = new long[dSae];
    this.meanCorrelation = match(sae, known);
  }

  private static double[] filled(int size) {
    double[] least = new double[size];
    Arrays.fill(least, Double.NEGATIVE_INFINITY);
    return least;
  }

  /** Measures each SAE on the same rows. */
  public static List<GroundTruth> measure(
      List<Sae> saes, Superposition truth, long maxRows, double threshold) throws IOException {
    Targets.requireAutoencoders(saes, "the recovery of known features", "measure an autoencoder");
    float[][] directions = truth.directions();
    List<FeatureRecovery> all = new ArrayList<>();
    try (Sae known =
        Sae.ofDirections(
            SaeConfig.topK(truth.dIn(), directions.length, 1),
            directions,
            HookRows.backendOf(saes))) {
      for (Sae sae : saes) {
        FeatureMatching.check(sae, known, threshold);
        all.add(new FeatureRecovery(sae, known));
      }
    }
    TrueFirings firings = new TrueFirings(truth, directions.length);
    List<Reconstruction> reconstructions =
        Reconstructions.measure(
            saes,
            truth,
            maxRows,
            (sae, firstRow, latents) -> {
              firings.draw(firstRow, latents.rows());
              all.get(sae).add(latents, firings);
            });
    return IntStream.range(0, saes.size())
        .mapToObj(i -> all.get(i).result(threshold, firings, reconstructions.get(i)))
        .toList();
  }

  /** Finds the best partners and returns the mean |cosine| of the best one-to-one matching. */
  private double match(Sae sae, Sae known) {
    boolean latentsAreRows = dSae <= features; // the matching needs rows <= columns
    float[][] cosines =
        latentsAreRows
            ? FeatureMatching.cosines(sae, known, Directions.DECODER)
            : FeatureMatching.cosines(known, sae, Directions.DECODER);
    Arrays.fill(own, -1);
    for (int i = 0; i < cosines.length; i++) {
      float[] row = cosines[i];
      for (int j = 0; j < row.length; j++) {
        int latent = latentsAreRows ? i : j;
        int feature = latentsAreRows ? j : i;
        double cosine = row[j];
        bestOfFeature[feature] = Math.max(bestOfFeature[feature], cosine);
        bestOfLatent[latent] = Math.max(bestOfLatent[latent], cosine);
        if (own[latent] < 0 || Math.abs(cosine) > Math.abs(ownCosine[latent])) {
          own[latent] = feature;
          ownCosine[latent] = cosine;
        }
        row[j] = Math.abs(row[j]);
      }
    }
    int[] partner = Assignment.maximumSum(cosines);
    return IntStream.range(0, partner.length).mapToDouble(i -> cosines[i][partner[i]]).sum()
        / partner.length;
  }

  private void add(Latents latents, TrueFirings truth) {
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    int[] starts = latents.starts();
    for (int row = 0; row < latents.rows(); row++) {
      for (int i = starts[row]; i < starts[row + 1]; i++) {
        if (values.get(i) != 0) {
          int latent = indices.get(i);
          fires[latent]++;
          hits[latent] += truth.fires(row, own[latent]) ? 1 : 0;
        }
      }
    }
  }

  private GroundTruth result(double threshold, TrueFirings truth, Reconstruction reconstruction) {
    List<Latent> latents =
        IntStream.range(0, dSae).mapToObj(i -> latent(i, truth, reconstruction.rows())).toList();
    return new GroundTruth(
        threshold,
        features,
        dSae,
        FeatureMatching.shareAbove(bestOfFeature, threshold),
        1 - FeatureMatching.shareAbove(bestOfLatent, threshold),
        Bootstrap.mean(bestOfFeature),
        Bootstrap.mean(bestOfLatent),
        meanCorrelation,
        (double) Arrays.stream(own).distinct().count() / dSae,
        mean(latents, Latent::precision),
        mean(latents, Latent::recall),
        mean(latents, Latent::f1),
        mean(latents, Latent::accuracy),
        (double) truth.total() / reconstruction.rows(),
        reconstruction,
        latents);
  }

  private Latent latent(int latent, TrueFirings truth, long rows) {
    long positive = truth.rowsWith(own[latent]);
    long falseNegatives = positive - hits[latent];
    long falsePositives = fires[latent] - hits[latent];
    double precision = quotient((double) hits[latent], (double) fires[latent]);
    double recall = quotient((double) hits[latent], (double) positive);
    return new Latent(
        own[latent],
        ownCosine[latent],
        precision,
        recall,
        quotient(2 * precision * recall, precision + recall),
        (double) (rows - falseNegatives - falsePositives) / rows);
  }

  private static double quotient(double part, double whole) {
    return whole == 0 ? 0 : part / whole;
  }

  private static double mean(List<Latent> latents, ToDoubleFunction<Latent> of) {
    return Bootstrap.mean(latents.stream().mapToDouble(of).toArray());
  }

  /** Which features fire in the rows of a batch; drawn once for all SAEs. */
  private static final class TrueFirings {
    private final Superposition truth;
    private final float[] coefficients;
    private final long[] rowsWith;
    private boolean[][] fires = new boolean[0][];
    private long next;

    TrueFirings(Superposition truth, int features) {
      this.truth = truth;
      this.coefficients = new float[features];
      this.rowsWith = new long[features];
    }

    void draw(long firstRow, int rows) {
      if (firstRow + rows == next) {
        return; // already drawn for another SAE
      }
      next = firstRow + rows;
      if (fires.length < rows) {
        fires = new boolean[rows][coefficients.length];
      }
      for (int row = 0; row < rows; row++) {
        truth.coefficients(firstRow + row, coefficients);
        for (int f = 0; f < coefficients.length; f++) {
          fires[row][f] = coefficients[f] > 0;
          rowsWith[f] += fires[row][f] ? 1 : 0;
        }
      }
    }

    boolean fires(int row, int feature) {
      return fires[row][feature];
    }

    long rowsWith(int feature) {
      return rowsWith[feature];
    }

    long total() {
      return Arrays.stream(rowsWith).sum();
    }
  }
}
