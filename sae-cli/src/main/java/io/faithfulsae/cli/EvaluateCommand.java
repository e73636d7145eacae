package io.faithfulsae.cli;

import io.faithfulsae.Activation;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FeatureSubsets;
import io.faithfulsae.metrics.KCurve;
import io.faithfulsae.metrics.LatentStatistics;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ModelActivations;
import io.faithfulsae.metrics.Reconstruction;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae evaluate}: measures reconstruction and cross entropy on a text. */
@Command(
    name = "evaluate",
    description =
        "Measures an SAE's reconstruction, L0, density, dead latents and its cost in cross entropy"
            + " on a text.")
final class EvaluateCommand implements Callable<Integer>, WritesFiles {
  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin SaeModelOptions place;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      required = true,
      description = "Text that the SAE was not trained on: " + TextInputOptions.FORMATS)
  Path data;

  @Option(
      names = "--rows",
      paramLabel = "N",
      defaultValue = "100000",
      description = "Maximum rows for the reconstruction (default: ${DEFAULT-VALUE}).")
  long rows;

  @Option(
      names = "--ce-tokens",
      paramLabel = "N",
      defaultValue = "20000",
      description = "Maximum tokens for the cross entropy (default: ${DEFAULT-VALUE}).")
  long ceTokens;

  @Option(
      names = "--target-hook",
      paramLabel = "HOOK",
      description =
          "With a transcoder: where its outputs replace the activations. Default: the hook point that"
              + " it names.")
  @Nullable String targetHook;

  @Option(
      names = "--k",
      paramLabel = "N",
      split = ",",
      description =
          "Also evaluate it with these k, such as 4,8,16,32, and write the curve. Default: its own k"
              + " only.")
  List<Integer> ks = List.of();

  @Option(
      names = "--fake-tokens",
      paramLabel = "N",
      defaultValue = "0",
      description =
          "Random tokens for the Fake Feature Ratio at each --k; 0 leaves it out (default:"
              + " ${DEFAULT-VALUE}).")
  long fakeTokens;

  @Option(
      names = "--subsets",
      paramLabel = "N",
      split = ",",
      description =
          "Also evaluate it with only its N best and only its N worst latents, for each N, such as"
              + " 10,100,1000.")
  List<Integer> subsets = List.of();

  @Option(
      names = "--rank-by",
      paramLabel = "NAME",
      defaultValue = "ATTRIBUTION",
      description =
          "How --subsets ranks latents: FREQUENCY, MEAN_ACTIVATION or ATTRIBUTION, the growth of the"
              + " squared error without the latent (default:"
              + " ${DEFAULT-VALUE}).")
  Criterion rankBy = Criterion.ATTRIBUTION;

  @Option(
      names = "--ranking-data",
      paramLabel = "FILE",
      description =
          "Text to rank latents on, ideally not the one it is evaluated on. Default: --data.")
  @Nullable Path rankingData;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write.")
  Path out;

  @Override
  public List<Path> files() {
    return List.of(out);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    try (SaeModelOptions.Opened on = place.open()) {
      requireK(on.sae().config().activation());
      ModelActivations activations = on.activations(on.text(data));
      HookPoint target = target(on);
      Reconstruction reconstruction =
          target == null
              ? Metrics.reconstruction(
                  on.sae(), activations.source(place.models.batchSequences), rows)
              : predicted(on, target);
      CrossEntropy crossEntropy =
          target == null
              ? Metrics.crossEntropy(on.sae(), activations, ceTokens)
              : Metrics.crossEntropy(List.of(on.sae()), activations, target, ceTokens).get(0);
      KCurve curve = ks.isEmpty() ? null : curve(on, activations);
      FeatureSubsets parts = subsets.isEmpty() ? null : parts(on, activations);
      common.write(
          out,
          new Evaluated(reconstruction, crossEntropy, curve, parts),
          String.format(
              Locale.ROOT,
              "%sexplained variance %.4f [%.4f, %.4f] (scalar form %.4f), L2 %.4g, L0 %.1f, dead %.1f %%%nCE difference %.4f nats [%.4f, %.4f]%nloss recovered over zero ablation %.4f [%.4f, %.4f], over mean ablation %.4f [%.4f, %.4f]; %,d positions replaced, %,d left unchanged",
              reconstruction.activation() == null ? "" : reconstruction.activation() + ": ",
              reconstruction.explainedVariance(),
              reconstruction.explainedVarianceInterval().low(),
              reconstruction.explainedVarianceInterval().high(),
              reconstruction.scalarExplainedVariance(),
              reconstruction.l2(),
              reconstruction.l0(),
              100 * reconstruction.deadShare(),
              crossEntropy.difference(),
              crossEntropy.differenceInterval().low(),
              crossEntropy.differenceInterval().high(),
              crossEntropy.lossRecovered(),
              crossEntropy.lossRecoveredInterval().low(),
              crossEntropy.lossRecoveredInterval().high(),
              crossEntropy.lossRecoveredOverMean(),
              crossEntropy.lossRecoveredOverMeanInterval().low(),
              crossEntropy.lossRecoveredOverMeanInterval().high(),
              crossEntropy.positionsReplaced(),
              crossEntropy.positionsKept()));
    }
    return 0;
  }

  /**
   * The result.
   *
   * @param reconstruction of activations
   * @param crossEntropy of the model with the reconstruction substituted
   * @param kCurve with other k, if requested
   * @param subsets with subsets of its latents, if requested
   */
  record Evaluated(
      Reconstruction reconstruction,
      CrossEntropy crossEntropy,
      @Nullable KCurve kCurve,
      @Nullable FeatureSubsets subsets) {}

  private void requireK(Activation activation) {
    if (!ks.isEmpty() && activation.latentsPerRow().isEmpty()) {
      throw common.usage(
          Expected.message("an SAE with a k for --k", activation.label(), "leave --k out"));
    }
  }

  /** Where a transcoder writes; null for an SAE. */
  private @Nullable HookPoint target(SaeModelOptions.Opened on) {
    String name = targetHook == null ? on.sae().targetHook() : targetHook;
    if (name == null || name.equals(on.hook().toString())) {
      return null;
    }
    if (!ks.isEmpty() || !subsets.isEmpty()) {
      throw common.usage(
          Expected.message(
              "neither --k nor --subsets with a transcoder", "one to " + name, "leave them out"));
    }
    return common.fromOptions(() -> HookPoint.parse(name));
  }

  /** How well a transcoder predicts its target, at all positions that the filter keeps by place. */
  private Reconstruction predicted(SaeModelOptions.Opened on, HookPoint target) throws IOException {
    ActivationFilter places =
        new ActivationFilter(
            on.filter().skipPositions(), on.filter().excludedTokens(), Double.POSITIVE_INFINITY);
    TokenSource text = on.text(data);
    return Metrics.reconstruction(
            List.of(on.sae()),
            new ModelActivations(on.model(), on.hook(), text, places)
                .source(place.models.batchSequences),
            new ModelActivations(on.model(), target, text, places)
                .source(place.models.batchSequences),
            rows)
        .get(0);
  }

  private KCurve curve(SaeModelOptions.Opened on, ModelActivations activations) throws IOException {
    KCurve.Options options =
        common.fromOptions(
            () ->
                new KCurve.Options(
                    ks,
                    place.models.batchSequences,
                    rows,
                    ceTokens,
                    fakeTokens == 0
                        ? Optional.empty()
                        : Optional.of(
                            FakeFeatures.Options.tokens(on.context())
                                .noiseTokens(fakeTokens)
                                .filter(on.filter())
                                .build())));
    return Metrics.kCurves(List.of(on.sae()), activations, options).get(0);
  }

  private FeatureSubsets parts(SaeModelOptions.Opened on, ModelActivations activations)
      throws IOException {
    FeatureSubsets.Options options =
        common.fromOptions(
            () -> new FeatureSubsets.Options(subsets, place.models.batchSequences, rows, ceTokens));
    if (rankBy == Criterion.PROBE_WEIGHT) {
      throw common.usage(
          Expected.message(
              "FREQUENCY, MEAN_ACTIVATION or ATTRIBUTION for --rank-by",
              "PROBE_WEIGHT",
              "probe weights need a task, see Metrics.probeWeights"));
    }
    Path other = rankingData;
    ModelActivations ranked = other == null ? activations : on.activations(on.text(other));
    LatentStatistics statistics =
        Metrics.latentStatistics(
                List.of(on.sae()), ranked.source(place.models.batchSequences), rows)
            .get(0);
    return Metrics.featureSubsets(
            on.sae(), List.of(statistics.ranking(rankBy)), activations, options)
        .get(0);
  }
}
