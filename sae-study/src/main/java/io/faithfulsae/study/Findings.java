package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.FakeFeatureMeasurement.KeptFake;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.Failure;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.Norms;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.TextSteps.Sampled;
import io.faithfulsae.study.Trained.Curve;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What the steps for one model have found so far, and the results that it amounts to. The first
 * group of maps is by data set, the second by SAE. What a failed step would have found is not
 * there, and a unit that asks for it ends.
 */
final class Findings {
  final Map<String, StepCache.Outcome<Sampled>> sampled = new LinkedHashMap<>();
  final Map<String, Texts> made = new LinkedHashMap<>();
  final Map<String, Norms> norms = new LinkedHashMap<>();
  final Map<String, DataSetCheck> checks = new LinkedHashMap<>();
  final Map<String, Trained> trained = new LinkedHashMap<>();

  final Map<String, Evaluation> common = new LinkedHashMap<>();
  final Map<String, Map<String, Evaluation>> evaluations = new LinkedHashMap<>();
  final Map<String, KeptFake> fakes = new LinkedHashMap<>();
  final Map<String, Map<String, Fake>> fakeVariants = new LinkedHashMap<>();
  final Map<String, List<AtK>> byK = new LinkedHashMap<>();
  final Map<String, List<Subsets>> subsets = new LinkedHashMap<>();
  final Map<String, Map<String, Probing>> probing = new LinkedHashMap<>();

  final List<SeedPair> pairs = new ArrayList<>();
  final List<SeedAgreement> agreements = new ArrayList<>();
  final List<Failure> failures = new ArrayList<>();

  private final StudyContext on;
  private final StudyConfig config;

  /** Something that a step needs is not there, because an earlier step failed. */
  static final class MissingException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private MissingException(String what) {
      super(what);
    }
  }

  Findings(StudyContext on) {
    this.on = on;
    this.config = on.config();
  }

  /** Something found by data set. */
  static <T> T need(Map<String, T> found, DataSet set) {
    return present(found.get(set.name()), set.name());
  }

  /** A data set that is complete, with its norms. */
  Texts text(DataSet set) {
    need(norms, set);
    return need(made, set);
  }

  /** All complete data sets, in the order of the settings. */
  List<Texts> texts() {
    return inOrder(made).filter(text -> norms.containsKey(text.name())).toList();
  }

  /** The SAEs of a data set. */
  Trained trained(DataSet set) {
    return need(trained, set);
  }

  /** The SAEs of all data sets. */
  List<Trained> trained() {
    List<Trained> all = inOrder(trained).toList();
    return present(all.isEmpty() ? null : all, "SAEs");
  }

  /** The text on which all SAEs are compared. */
  CommonTokens commonText() {
    return present(together(), "common text");
  }

  /** One bound for all data sets, so that every SAE is evaluated on the same rows. */
  ActivationFilter filter() {
    ActivationFilter unbounded = on.unbounded(config.filter());
    Double multiple = config.filter().normMultiple();
    double median =
        norms.values().stream().mapToDouble(Norms::median).max().orElse(Double.POSITIVE_INFINITY);
    return multiple == null ? unbounded : unbounded.withMaxNorm(multiple * median);
  }

  private @Nullable CommonTokens together() {
    return CommonTokens.of(config.evaluation().common(), texts());
  }

  private <T> Stream<T> inOrder(Map<String, T> found) {
    return config.dataSets().stream().flatMap(set -> Stream.ofNullable(found.get(set.name())));
  }

  private static <T> T present(@Nullable T value, String what) {
    if (value == null) {
      throw new MissingException(what);
    }
    return value;
  }

  /** Everything found, as it is reported. */
  ModelResults results() {
    CommonTokens together = together();
    List<TrainedSae> saes =
        inOrder(trained)
            .flatMap(group -> group.curves().stream().map(curve -> sae(group, curve)))
            .toList();
    return new ModelResults(
        on.name(),
        config,
        modelFacts(),
        filter().maxNorm(),
        texts().stream().map(this::dataSet).toList(),
        together == null ? null : together.text(),
        saes,
        pairs,
        agreements,
        ProbingMeasurement.means(saes),
        new Comparisons(config).of(on.grid(), pairs, saes, fakes),
        List.copyOf(failures));
  }

  private TrainedSae sae(Trained group, Curve curve) {
    Variant variant = curve.variant();
    KeptFake fake = fakes.get(curve.name());
    return new TrainedSae(
        curve.name(),
        group.on().name(),
        variant.label(),
        variant.dSae(),
        variant.k(),
        variant.preset(),
        variant.lr(),
        curve.seed(),
        on.study().relativize(group.sae(curve)).toString(),
        curve.steps(),
        curve.rows(),
        curve.counts(),
        curve.points(),
        common.get(curve.name()),
        evaluations.getOrDefault(curve.name(), Map.of()),
        fake == null ? null : fake.fake(),
        fakeVariants.getOrDefault(curve.name(), Map.of()),
        byK.getOrDefault(curve.name(), List.of()),
        subsets.getOrDefault(curve.name(), List.of()),
        probing.getOrDefault(curve.name(), Map.of()));
  }

  private ModelResults.Model modelFacts() {
    return new ModelResults.Model(
        on.model().name(),
        on.model().dModel(),
        on.model().layers(),
        on.model().vocabularySize(),
        on.model().contextLength(),
        on.hook().toString(),
        on.model().width(on.hook()),
        on.modelHash());
  }

  private ModelResults.DataSet dataSet(Texts text) {
    StudyData.Prepared prepared = text.prepared();
    return new ModelResults.DataSet(
        text.name(),
        prepared.origin(),
        prepared.sequences(),
        prepared.heldOut(),
        prepared.tokens(),
        prepared.distinctTokens(),
        prepared.hash(),
        MixtureSettings.faithfulShare(text.settings(), config.dataSets()),
        prepared.random(),
        checks.get(text.name()),
        Objects.requireNonNull(norms.get(text.name())),
        prepared.samples());
  }
}
