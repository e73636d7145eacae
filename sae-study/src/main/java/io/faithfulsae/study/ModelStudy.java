package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.EvaluationSteps.KeptFake;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.Failure;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.Norms;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.provenance.ModelHash;
import io.faithfulsae.study.work.StoppedException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The study of one model: it generates its own data set, SAEs are trained on it and on other texts
 * with several seeds, and the SAEs are compared.
 *
 * <p>The output folder keeps every step, so that an interrupted study resumes where it stopped, and
 * a changed setting only redoes the steps that depend on it. A step that fails affects only those
 * that need it; failures are listed with the results.
 */
final class ModelStudy implements AutoCloseable {
  private final StudyContext on;
  private final StudyConfig config;
  private final TextSteps texts;
  private final List<Failure> failures = new ArrayList<>();

  private final Map<String, Norms> norms = new LinkedHashMap<>();
  private final Map<String, DataSetCheck> checks = new LinkedHashMap<>();
  private final Map<String, Evaluation> common = new LinkedHashMap<>();
  private final Map<String, Map<String, Evaluation>> evaluations = new LinkedHashMap<>();
  private final Map<String, KeptFake> fakes = new LinkedHashMap<>();
  private final Map<String, Map<String, Fake>> fakeVariants = new LinkedHashMap<>();
  private final Map<String, List<AtK>> byK = new LinkedHashMap<>();
  private final Map<String, List<Subsets>> subsets = new LinkedHashMap<>();
  private final Map<String, Map<String, Probing>> probing = new LinkedHashMap<>();
  private final List<SeedPair> pairs = new ArrayList<>();
  private final List<SeedAgreement> agreements = new ArrayList<>();

  /** Something that may fail without affecting the rest. */
  private interface Part<T> {
    @Nullable T run() throws IOException;
  }

  private ModelStudy(StudyContext on) {
    this.on = on;
    this.config = on.config();
    this.texts = new TextSteps(on);
  }

  /**
   * Opens a model of a study.
   *
   * @param name of the entry
   * @param sharing between all entries
   * @param study folder of the whole study
   */
  static ModelStudy open(
      String name, Sharing sharing, Path study, Backend backend, StepFolders folders)
      throws IOException {
    StudyConfig config = sharing.config(name);
    String given = config.model();
    Path folder =
        given == null ? EmbeddedModel.unpack(study.resolve(name).resolve("model")) : Path.of(given);
    OnnxModel model = OnnxModel.open(folder);
    try {
      Tokenizer tokenizer = Tokenizer.open(folder);
      HookPoint hook =
          config.hook().equals("middle")
              ? HookPoint.residPre(model.layers() / 2)
              : HookPoint.parse(config.hook());
      return new ModelStudy(
          new StudyContext(
              name,
              config,
              sharing,
              study,
              backend,
              model,
              tokenizer,
              ModelHash.of(folder),
              hook,
              folders));
    } catch (IOException | RuntimeException e) {
      model.close();
      throw e;
    }
  }

  /** Describes what run() would do and estimates how long it would take. */
  StudyPlan.ModelPlan plan() throws IOException {
    return new Planner(on).plan(ProbeSteps.tasks(config).size(), on.steps().kept());
  }

  /** Generates the model's texts, which other models may need. */
  void generate() {
    for (StudyConfig.DataSet set : config.dataSets()) {
      if (set.generate() != null) {
        attempt(TextSteps.sampleStep(set.name()), () -> texts.sample(set));
      }
    }
    failures.clear(); // run() retries, and records what failed then
  }

  /** Does what is missing. */
  ModelResults run() {
    List<Texts> made = texts();
    ActivationFilter filter = filter();
    List<Trained> trained = new ArrayList<>();
    TrainStep train = new TrainStep(on);
    for (Texts text : made) {
      attempt("train-" + text.name(), () -> train.train(text, filter)).ifPresent(trained::add);
    }
    CommonTokens together = CommonTokens.of(config.evaluation().common(), made);
    judge(trained, made, together, new EvaluationSteps(on, filter));
    lookCloser(trained, new CurveSteps(on, filter));
    probe(trained, new ProbeSteps(on, filter));
    List<TrainedSae> saes =
        trained.stream()
            .flatMap(group -> group.curves().stream().map(curve -> sae(group, curve)))
            .toList();
    return new ModelResults(
        on.name(),
        config,
        modelFacts(),
        filter.maxNorm(),
        made.stream().map(this::dataSet).toList(),
        together == null ? null : together.text(),
        saes,
        pairs,
        agreements,
        ProbeSteps.means(saes),
        new Comparisons(config).of(on.grid(), pairs, saes, fakes),
        List.copyOf(failures));
  }

  private <T> Optional<T> attempt(String part, Part<T> work) {
    try {
      return Optional.ofNullable(work.run());
    } catch (StoppedException stop) {
      throw stop;
    } catch (IOException | RuntimeException e) {
      failures.add(new Failure(part, String.valueOf(e.getMessage())));
      on.listener().step(part + " failed; the rest continues: " + e.getMessage());
      System.getLogger(ModelStudy.class.getName()).log(System.Logger.Level.DEBUG, part, e);
      return Optional.empty();
    }
  }

  private List<Texts> texts() {
    List<Texts> made = new ArrayList<>();
    for (StudyConfig.DataSet set : config.dataSets()) {
      attempt(TextSteps.dataStep(set.name()), () -> texts.texts(set))
          .ifPresent(
              text ->
                  attempt("norms-" + set.name(), () -> texts.norms(text))
                      .ifPresent(
                          seen -> {
                            made.add(text);
                            norms.put(text.name(), seen);
                          }));
    }
    for (Texts text : made) {
      attempt("check-" + text.name(), () -> texts.check(text, made))
          .ifPresent(check -> checks.put(text.name(), check));
    }
    return made;
  }

  /** One bound for all data sets, so that every SAE is evaluated on the same rows. */
  private ActivationFilter filter() {
    ActivationFilter unbounded = on.unbounded(config.filter());
    Double multiple = config.filter().normMultiple();
    double median =
        norms.values().stream().mapToDouble(Norms::median).max().orElse(Double.POSITIVE_INFINITY);
    return multiple == null ? unbounded : unbounded.withMaxNorm(multiple * median);
  }

  private void judge(
      List<Trained> trained,
      List<Texts> made,
      @Nullable CommonTokens together,
      EvaluationSteps judge) {
    for (Trained group : trained) {
      String of = group.on().name();
      attempt("match-" + of, () -> judge.match(group)).ifPresent(pairs::addAll);
      attempt("fake-features-" + of, () -> judge.fakeFeatures(group)).ifPresent(fakes::putAll);
      if (together != null) {
        attempt("common-text-" + of, () -> judge.onCommonText(group, together))
            .ifPresent(common::putAll);
      }
      for (Texts text : made) {
        attempt("evaluate-" + of + "-on-" + text.name(), () -> judge.evaluate(group, text))
            .ifPresent(
                bySae ->
                    bySae.forEach(
                        (sae, evaluation) ->
                            evaluations
                                .computeIfAbsent(sae, any -> new LinkedHashMap<>())
                                .put(text.name(), evaluation)));
      }
    }
  }

  private void lookCloser(List<Trained> trained, CurveSteps curves) {
    for (Trained group : trained) {
      String of = group.on().name();
      attempt("seed-agreement-" + of, () -> curves.agreements(group)).ifPresent(agreements::addAll);
      attempt("k-curve-" + of, () -> curves.byK(group)).ifPresent(byK::putAll);
      attempt("subsets-" + of, () -> curves.bySubset(group)).ifPresent(subsets::putAll);
      attempt("fake-variants-" + of, () -> curves.fakeVariants(group))
          .ifPresent(fakeVariants::putAll);
    }
  }

  /** By SAE and task. */
  private void probe(List<Trained> trained, ProbeSteps probes) {
    if (trained.isEmpty()) {
      return;
    }
    Optional<List<String>> tasks = attempt("probing", () -> ProbeSteps.tasks(config));
    for (String task : tasks.orElse(List.of())) {
      attempt("probe-" + task, () -> probes.probe(task, trained))
          .ifPresent(
              found ->
                  found.forEach(
                      (sae, result) ->
                          probing
                              .computeIfAbsent(sae, any -> new LinkedHashMap<>())
                              .put(task, result)));
    }
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

  @Override
  public void close() {
    on.tokenizer().close();
    on.model().close();
  }
}
