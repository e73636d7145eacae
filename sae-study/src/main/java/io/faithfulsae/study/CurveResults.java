package io.faithfulsae.study;

import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FeatureSubsets;
import io.faithfulsae.metrics.KCurve;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.SharedFeatures.Agreement;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What curves store for each measurement; the metrics' own Javadoc defines the values. */
public final class CurveResults {
  private CurveResults() {}

  /**
   * An SAE, or part of it, on its own data set's held-out text.
   *
   * @param l2 mean squared error over all elements
   * @param explainedVariance 1 − FVU
   * @param scalarExplainedVariance in the authors' form
   * @param cosine mean cosine of x and x̂
   * @param l0 mean number of active latents
   * @param deadShare share of latents that fired on none of the rows
   * @param ceDifference in nats
   * @param lossRecovered over zero ablation
   * @param lossRecoveredOverMean over mean ablation
   * @param klDivergence in nats
   */
  public record Quality(
      double l2,
      double explainedVariance,
      double scalarExplainedVariance,
      double cosine,
      double l0,
      double deadShare,
      double ceDifference,
      double lossRecovered,
      double lossRecoveredOverMean,
      double klDivergence) {

    static Quality of(Reconstruction r, CrossEntropy c) {
      return new Quality(
          r.l2(),
          r.explainedVariance(),
          r.scalarExplainedVariance(),
          r.cosine(),
          r.l0(),
          r.deadShare(),
          c.difference(),
          c.lossRecovered(),
          c.lossRecoveredOverMean(),
          c.klDivergence());
    }
  }

  /**
   * An SAE with another k.
   *
   * @param k active latents per token
   * @param quality with this k
   * @param fakeRatio Fake Feature Ratio with this k; null if it was not measured
   */
  public record AtK(int k, Quality quality, @Nullable Double fakeRatio) {

    static AtK of(KCurve.Point point) {
      FakeFeatures fake = point.fakeFeatures();
      return new AtK(
          point.k(),
          Quality.of(point.reconstruction(), point.crossEntropy()),
          fake == null ? null : fake.ratio());
    }
  }

  /**
   * An SAE restricted to some of its latents.
   *
   * @param by ranking criterion
   * @param ranked number of latents that were ranked, which are those that fired on the ranking
   *     rows
   * @param whole the SAE with all its latents, on the same text
   * @param best with only the first latents of the ranking
   * @param worst with only the last latents of the ranking
   */
  public record Subsets(
      Criterion by, int ranked, Quality whole, List<Part> best, List<Part> worst) {

    /** Copies the lists. */
    public Subsets {
      best = List.copyOf(best);
      worst = List.copyOf(worst);
    }

    static Subsets of(Criterion by, FeatureSubsets subsets) {
      return new Subsets(
          by,
          subsets.ranked(),
          quality(subsets.whole()),
          subsets.best().stream().map(Part::of).toList(),
          subsets.worst().stream().map(Part::of).toList());
    }
  }

  /**
   * A subset of the latents.
   *
   * @param latents its size
   * @param quality with these latents only
   */
  public record Part(int latents, Quality quality) {
    static Part of(FeatureSubsets.Subset subset) {
      return new Part(subset.latents(), CurveResults.quality(subset));
    }
  }

  /**
   * Two SAEs of one data set, compared by more than decoder directions.
   *
   * @param dataSet what both were trained on
   * @param variant of both
   * @param k active latents per token of both
   * @param first name of one
   * @param second name of the other
   * @param agreement of the matchings by decoder and by encoder directions
   * @param decoderNeurons neurons by columns of W_dec
   * @param encoderNeurons neurons by rows of W_enc
   * @param correlations of their latents' activations on the held-out text; without single latents
   */
  public record SeedAgreement(
      String dataSet,
      String variant,
      int k,
      String first,
      String second,
      Agreement agreement,
      Neurons decoderNeurons,
      Neurons encoderNeurons,
      LatentCorrelations correlations) {}

  private static Quality quality(FeatureSubsets.Subset subset) {
    return Quality.of(subset.reconstruction(), subset.crossEntropy());
  }
}
