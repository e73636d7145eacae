package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.study.FakeFeatureMeasurement.KeptFake;
import io.faithfulsae.study.ModelResults.Comparison;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.compare.Holm;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Compares the first data set with each of the others. */
final class Comparisons {
  private static final String CROSS_ENTROPY = "CE difference on the common text";

  private final StudyConfig config;

  Comparisons(StudyConfig config) {
    this.config = config;
  }

  /** For all variants; p-values are corrected later, when those of all models are known. */
  List<Comparison> of(
      Grid grid, List<SeedPair> pairs, List<TrainedSae> saes, Map<String, KeptFake> fakes) {
    List<Comparison> all = new ArrayList<>();
    for (Variant variant : grid.variants()) {
      for (StudyConfig.DataSet other : config.dataSets().subList(1, config.dataSets().size())) {
        all.addAll(sharedFeatures(variant, other.name(), pairs));
        all.addAll(fakeFeatures(variant, other.name(), saes, fakes));
        all.addAll(onCommonText(variant, other.name(), saes));
      }
    }
    return all;
  }

  private List<Comparison> sharedFeatures(Variant variant, String other, List<SeedPair> all) {
    List<SeedPair> ours = pairs(all, first(), variant);
    List<SeedPair> theirs = pairs(all, other, variant);
    List<Comparison> comparisons = new ArrayList<>();
    for (int i = 0; i < Math.min(ours.size(), theirs.size()); i++) {
      comparisons.add(
          comparison(
              variant,
              "Shared Feature Ratio (matched)" + (ours.size() > 1 ? ", seed pair " + (i + 1) : ""),
              other,
              ours.get(i)
                  .decoder()
                  .matchedDifference(
                      theirs.get(i).decoder(),
                      config.bootstrap().resamples(),
                      config.bootstrap().level(),
                      config.bootstrap().seed())));
    }
    return comparisons;
  }

  private static List<SeedPair> pairs(List<SeedPair> all, String dataSet, Variant variant) {
    return all.stream()
        .filter(pair -> pair.dataSet().equals(dataSet) && pair.variant().equals(variant.label()))
        .toList();
  }

  private List<Comparison> fakeFeatures(
      Variant variant, String other, List<TrainedSae> saes, Map<String, KeptFake> fakes) {
    List<FakeFeatures.Resamples> ours = resamples(first(), variant, saes, fakes);
    List<FakeFeatures.Resamples> theirs = resamples(other, variant, saes, fakes);
    if (ours.isEmpty() || theirs.isEmpty()) {
      return List.of();
    }
    return List.of(
        comparison(
            variant,
            "Fake Feature Ratio",
            other,
            FakeFeatures.difference(
                ours, theirs, config.bootstrap().level(), config.bootstrap().seed())));
  }

  private static List<FakeFeatures.Resamples> resamples(
      String dataSet, Variant variant, List<TrainedSae> saes, Map<String, KeptFake> fakes) {
    return saes.stream()
        .filter(sae -> sae.dataSet().equals(dataSet) && sae.variant().equals(variant.label()))
        .flatMap(sae -> Stream.ofNullable(fakes.get(sae.name())))
        .map(KeptFake::resamples)
        .toList();
  }

  private List<Comparison> onCommonText(Variant variant, String other, List<TrainedSae> saes) {
    List<Evaluation> ours = common(first(), variant, saes);
    List<Evaluation> theirs = common(other, variant, saes);
    if (ours.isEmpty() || theirs.isEmpty()) {
      return List.of();
    }
    CommonTextDifference paired = new CommonTextDifference(ours, theirs, config.bootstrap());
    return List.of(
        comparison(variant, CROSS_ENTROPY, other, paired.crossEntropy()),
        comparison(
            variant, "Explained variance on the common text", other, paired.explainedVariance()));
  }

  private static List<Evaluation> common(String dataSet, Variant variant, List<TrainedSae> saes) {
    return saes.stream()
        .filter(sae -> sae.dataSet().equals(dataSet) && sae.variant().equals(variant.label()))
        .flatMap(sae -> Stream.ofNullable(sae.common()))
        .toList();
  }

  private String first() {
    return config.dataSets().get(0).name();
  }

  private Comparison comparison(
      Variant variant, String metric, String other, BootstrapInterval.Difference difference) {
    return new Comparison(
        variant.label(), variant.k(), metric, first(), other, difference, difference.pValue());
  }

  /** The same results with the p-values of all comparisons across models corrected together. */
  static List<ModelResults> corrected(List<ModelResults> models) {
    double[] adjusted =
        Holm.adjust(
            models.stream()
                .flatMap(model -> model.comparisons().stream())
                .mapToDouble(comparison -> comparison.difference().pValue())
                .toArray());
    List<ModelResults> corrected = new ArrayList<>();
    int at = 0;
    for (ModelResults model : models) {
      List<Comparison> comparisons = new ArrayList<>();
      for (Comparison c : model.comparisons()) {
        comparisons.add(
            new Comparison(
                c.variant(),
                c.k(),
                c.metric(),
                c.first(),
                c.second(),
                c.difference(),
                adjusted[at++]));
      }
      corrected.add(model.withComparisons(comparisons));
    }
    return corrected;
  }

  /** Whether what is compared is a share, shown in percent. */
  static boolean isShare(Comparison comparison) {
    return !comparison.metric().equals(CROSS_ENTROPY);
  }
}
