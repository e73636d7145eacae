package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Metrics;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TokenSource;
import io.faithfulsae.console.Progress;
import io.faithfulsae.console.StoppedException;
import io.faithfulsae.console.TrainingSession;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.probe.TaskFile;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.CurveResults.AtK;
import io.faithfulsae.study.CurveResults.SeedAgreement;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.ModelResults.Comparison;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.Failure;
import io.faithfulsae.study.ModelResults.Fake;
import io.faithfulsae.study.ModelResults.Norms;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The study of one model: it writes its own data set; SAEs are trained with several seeds on it and
 * on other texts, and compared.
 *
 * <p>Every step is kept in the output folder, so that a study that was stopped goes on where it
 * was, and a setting that was changed costs only the steps that depend on it. A step that fails
 * costs only those that need it: what failed is listed with the results.
 */
final class ModelStudy implements AutoCloseable {
  private static final int NORM_SEQUENCES = 256;

  private final String name;
  private final StudyConfig config;
  private final Path study;
  private final Backend backend;
  private final OnnxModel model;
  private final Tokenizer tokenizer;
  private final HookPoint hook;
  private final StudyData data;
  private final Steps steps;
  private final String modelHash;
  private final Consumer<String> log;
  private final List<Failure> failures = new ArrayList<>();

  /** A data set with its parts. */
  record Texts(
      StudyConfig.DataSet settings,
      StudyData.Prepared prepared,
      String key,
      TokenSource training,
      TokenSource heldOut) {
    String name() {
      return settings.name();
    }
  }

  /** The SAEs of one data set, as they lie on disk. */
  record Trained(Texts on, String key, Path folder, List<Curve> curves) {
    Path sae(Curve curve) {
      return folder.resolve(curve.folder());
    }
  }

  /** How one SAE was trained. */
  record Curve(
      String name,
      String folder,
      int k,
      long seed,
      long steps,
      long rows,
      ActivationFilter.Counts counts,
      List<ModelResults.CurvePoint> points) {}

  private record Curves(List<Curve> all) {}

  private record Pairs(List<SeedPair> all) {}

  private record Evaluations(Map<String, Evaluation> bySae) {}

  /** With the resamples that comparing data sets needs and results leave out. */
  private record KeptFake(Fake fake, FakeFeatures.Resamples resamples) {}

  private record Probed(Map<String, Probing> bySae) {}

  private record Fakes(Map<String, KeptFake> bySae) {}

  /** Something that may fail without costing the rest. */
  private interface Part<T> {
    T run() throws IOException;
  }

  private ModelStudy(
      String name,
      StudyConfig config,
      Path study,
      Backend backend,
      OnnxModel model,
      Tokenizer tokenizer,
      String modelHash,
      Consumer<String> log) {
    this.name = name;
    this.config = config;
    this.study = study;
    this.backend = backend;
    this.model = model;
    this.tokenizer = tokenizer;
    this.modelHash = modelHash;
    this.log = log;
    this.steps = new Steps(folder(study, name).resolve(Steps.FOLDER), log);
    this.hook =
        config.hook().equals("middle")
            ? HookPoint.residPre(model.layers() / 2)
            : HookPoint.parse(config.hook());
    this.data = new StudyData(config, study, model, tokenizer, context());
  }

  /**
   * Opens a model of a study.
   *
   * @param study folder of the whole study
   * @param log hears the name of each step that is done
   */
  static ModelStudy open(
      String name, StudyConfig config, Path study, Backend backend, Consumer<String> log)
      throws IOException {
    String given = config.model();
    Path folder =
        given == null ? EmbeddedModel.unpack(folder(study, name).resolve("model")) : Path.of(given);
    OnnxModel model = OnnxModel.open(folder);
    try {
      Tokenizer tokenizer = Tokenizer.open(folder);
      return new ModelStudy(
          name, config, study, backend, model, tokenizer, ModelHash.of(folder), log);
    } catch (IOException | RuntimeException e) {
      model.close();
      throw e;
    }
  }

  /** Where the files of a model of a study are. */
  static Path folder(Path study, String name) {
    return study.resolve(name);
  }

  /** The step that makes a data set. */
  static String dataStep(String dataSet) {
    return "data-" + dataSet;
  }

  /** Says what run() would do, and about how long it would take. */
  StudyPlan.ModelPlan plan() throws IOException {
    return new Planner(config, model, tokenizer, hook, backend, context())
        .plan(name, tasks().size(), steps.kept());
  }

  /** Makes the texts that the model writes, which other models may want. */
  void generate() {
    for (StudyConfig.DataSet set : config.dataSets()) {
      if (set.generate() != null) {
        attempt(dataStep(set.name()), () -> texts(set));
      }
    }
    failures.clear(); // run() tries again, and says what failed then
  }

  /** Does what is missing. */
  ModelResults run() {
    List<Texts> texts = new ArrayList<>();
    Map<String, Norms> norms = new LinkedHashMap<>();
    for (StudyConfig.DataSet set : config.dataSets()) {
      attempt(dataStep(set.name()), () -> texts(set))
          .ifPresent(
              text ->
                  attempt("norms-" + set.name(), () -> norms(text))
                      .ifPresent(
                          seen -> {
                            texts.add(text);
                            norms.put(text.name(), seen);
                          }));
    }
    ActivationFilter filter = filter(norms);
    List<Trained> trained = new ArrayList<>();
    for (Texts text : texts) {
      attempt("train-" + text.name(), () -> train(text, filter)).ifPresent(trained::add);
    }
    Map<String, KeptFake> fakes = new LinkedHashMap<>();
    Map<String, Map<String, Evaluation>> evaluations = new LinkedHashMap<>();
    List<SeedPair> pairs = new ArrayList<>();
    CurveSteps curves = new CurveSteps(config, steps, model, hook, context(), filter, this::open);
    Map<String, Map<String, ModelResults.Fake>> fakeVariants = new LinkedHashMap<>();
    Map<String, List<AtK>> byK = new LinkedHashMap<>();
    Map<String, List<Subsets>> subsets = new LinkedHashMap<>();
    List<SeedAgreement> agreements = new ArrayList<>();
    for (Trained group : trained) {
      String of = group.on().name();
      attempt("match-" + of, () -> match(group)).ifPresent(pairs::addAll);
      attempt("fake-features-" + of, () -> fakeFeatures(group, filter)).ifPresent(fakes::putAll);
      for (Texts text : texts) {
        attempt("evaluate-" + of + "-on-" + text.name(), () -> evaluate(group, text, filter))
            .ifPresent(
                bySae ->
                    bySae.forEach(
                        (sae, evaluation) ->
                            evaluations
                                .computeIfAbsent(sae, any -> new LinkedHashMap<>())
                                .put(text.name(), evaluation)));
      }
    }
    for (Trained group : trained) {
      String of = group.on().name();
      attempt("seed-agreement-" + of, () -> curves.agreements(group)).ifPresent(agreements::addAll);
      attempt("k-curve-" + of, () -> curves.byK(group)).ifPresent(byK::putAll);
      attempt("subsets-" + of, () -> curves.bySubset(group)).ifPresent(subsets::putAll);
      attempt("fake-variants-" + of, () -> curves.fakeVariants(group))
          .ifPresent(fakeVariants::putAll);
    }
    Map<String, Map<String, Probing>> probing = probing(trained, filter);
    List<TrainedSae> saes = new ArrayList<>();
    for (Trained group : trained) {
      for (Curve curve : group.curves()) {
        KeptFake fake = fakes.get(curve.name());
        saes.add(
            new TrainedSae(
                curve.name(),
                group.on().name(),
                curve.k(),
                curve.seed(),
                study.relativize(group.sae(curve)).toString(),
                curve.steps(),
                curve.rows(),
                curve.counts(),
                curve.points(),
                evaluations.getOrDefault(curve.name(), Map.of()),
                fake == null ? null : fake.fake(),
                fakeVariants.getOrDefault(curve.name(), Map.of()),
                byK.getOrDefault(curve.name(), List.of()),
                subsets.getOrDefault(curve.name(), List.of()),
                probing.getOrDefault(curve.name(), Map.of())));
      }
    }
    List<Comparison> comparisons = new ArrayList<>();
    for (int k : config.sae().k()) {
      comparisons.addAll(sharedFeatureComparisons(k, pairs));
      comparisons.addAll(fakeFeatureComparisons(k, saes, fakes));
    }
    return new ModelResults(
        name,
        config,
        modelFacts(),
        filter.maxNorm(),
        texts.stream().map(text -> dataSet(text, norms)).toList(),
        saes,
        pairs,
        agreements,
        comparisons,
        List.copyOf(failures));
  }

  /** Steps that this start has done, not found done. */
  int stepsDone() {
    return steps.done();
  }

  /** Seconds that each step took when it was done. */
  Map<String, Double> seconds() {
    return steps.seconds();
  }

  private <T> Optional<T> attempt(String part, Part<T> work) {
    try {
      return Optional.of(work.run());
    } catch (StoppedException stop) {
      throw stop;
    } catch (IOException | RuntimeException e) {
      failures.add(new Failure(part, String.valueOf(e.getMessage())));
      log.accept(part + " failed, the rest goes on: " + e.getMessage());
      System.getLogger(ModelStudy.class.getName()).log(System.Logger.Level.DEBUG, part, e);
      return Optional.empty();
    }
  }

  private Texts texts(StudyConfig.DataSet set) throws IOException {
    Steps.Outcome<StudyData.Prepared> step =
        steps.run(
            dataStep(set.name()),
            List.of(modelHash, data.inputs(set)),
            StudyData.Prepared.class,
            folder -> data.prepare(set, folder));
    return new Texts(
        set,
        step.result(),
        step.key(),
        data.training(step.result(), step.folder()),
        data.heldOut(step.result(), step.folder()));
  }

  private Norms norms(Texts text) throws IOException {
    ActivationFilter unbounded = unboundedFilter();
    return steps
        .run(
            "norms-" + text.name(),
            List.of(
                text.key(),
                hook.toString(),
                config.filter().skipPositions(),
                config.filter().skipBos()),
            Norms.class,
            folder -> {
              ActivationFilter.Norms seen =
                  unbounded.norms(
                      model, hook, text.training(), config.batchSequences(), NORM_SEQUENCES);
              return new Norms(seen.median(), seen.rows(), seen.meanByPosition());
            })
        .result();
  }

  private ActivationFilter unboundedFilter() {
    Set<Integer> excluded = config.filter().skipBos() ? Set.of(model.bosToken()) : Set.of();
    return new ActivationFilter(
        config.filter().skipPositions(), excluded, Double.POSITIVE_INFINITY);
  }

  /** One bound for all data sets, so that every SAE is judged on the same rows. */
  private ActivationFilter filter(Map<String, Norms> norms) {
    Double multiple = config.filter().normMultiple();
    double median =
        norms.values().stream().mapToDouble(Norms::median).max().orElse(Double.POSITIVE_INFINITY);
    return multiple == null ? unboundedFilter() : unboundedFilter().withMaxNorm(multiple * median);
  }

  /** All seeds and all k of a data set read its activations together. */
  private Trained train(Texts text, ActivationFilter filter) throws IOException {
    ActivationSource source = source(text.training(), filter);
    Steps.Outcome<Curves> step =
        steps.run(
            "train-" + text.name(),
            List.of(
                text.key(),
                source.description(),
                config.sae(),
                config.training(),
                config.seeds(),
                backend.info().name()),
            Curves.class,
            folder -> train(text, filter, source, folder));
    return new Trained(text, step.key(), step.folder(), step.result().all());
  }

  private Curves train(Texts text, ActivationFilter filter, ActivationSource source, Path folder)
      throws IOException {
    Map<String, String> metadata =
        new TrainedOn(model.name(), hook, text.name(), context(), filter).metadata();
    List<SaeTrainer> trainers = new ArrayList<>();
    List<Path> dirs = new ArrayList<>();
    List<CurveFile> curves = new ArrayList<>();
    for (int k : config.sae().k()) {
      SaeConfig shape = SaeConfig.topK(source.dIn(), config.sae().dSae(), k);
      for (long seed : config.seeds()) {
        CurveFile curve = new CurveFile(folder.resolve("curve-" + cell(k, seed) + ".jsonl"));
        trainers.add(
            SaeTrainer.of(shape, config.training().withSeed(seed), backend)
                .withMetadata(metadata)
                .withListener(curve));
        dirs.add(folder.resolve("sae-" + cell(k, seed)));
        curves.add(curve);
      }
    }
    List<TrainingResult> results = TrainingSession.run(text.name(), trainers, source, dirs, true);
    List<Curve> all = new ArrayList<>();
    for (int i = 0; i < results.size(); i++) {
      TrainingResult result = results.get(i);
      int k = config.sae().k().get(i / config.seeds().size());
      long seed = config.seeds().get(i % config.seeds().size());
      all.add(
          new Curve(
              text.name() + "-" + cell(k, seed),
              String.valueOf(dirs.get(i).getFileName()),
              k,
              seed,
              result.steps(),
              result.tokens(),
              result.counts(),
              curves.get(i).points()));
    }
    return new Curves(all);
  }

  /** Names an SAE among those of its data set. */
  private String cell(int k, long seed) {
    return config.sae().k().size() == 1 ? String.valueOf(seed) : "k" + k + "-" + seed;
  }

  private int context() {
    return Math.min(config.context(), model.contextLength());
  }

  private Map<String, Evaluation> evaluate(Trained group, Texts text, ActivationFilter filter)
      throws IOException {
    return steps
        .run(
            "evaluate-" + group.on().name() + "-on-" + text.name(),
            List.of(
                group.key(),
                text.key(),
                filter.toString(),
                config.evaluation(),
                config.batchSequences()),
            Evaluations.class,
            folder -> {
              try (Opened saes = open(group)) {
                List<Reconstruction> reconstructions =
                    Metrics.reconstruction(
                        saes.all(), source(text.heldOut(), filter), config.evaluation().rows());
                List<CrossEntropy> costs =
                    Metrics.crossEntropy(
                        saes.all(),
                        model,
                        hook,
                        text.heldOut(),
                        filter,
                        config.evaluation().ceTokens());
                Map<String, Evaluation> bySae = new LinkedHashMap<>();
                for (int i = 0; i < reconstructions.size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      new Evaluation(reconstructions.get(i), costs.get(i)));
                }
                return new Evaluations(bySae);
              }
            })
        .result()
        .bySae();
  }

  /** A data set's SAEs in memory. */
  record Opened(List<Sae> all) implements AutoCloseable {
    @Override
    public void close() {
      all.forEach(Sae::close);
    }
  }

  private Opened open(Trained group) throws IOException {
    Opened opened = new Opened(new ArrayList<>());
    try {
      for (Curve curve : group.curves()) {
        opened.all().add(Sae.load(group.sae(curve), backend));
      }
      return opened;
    } catch (IOException | RuntimeException e) {
      opened.close();
      throw e;
    }
  }

  private List<SeedPair> match(Trained group) throws IOException {
    double threshold = config.sharedFeatures().threshold();
    return steps
        .run(
            "match-" + group.on().name(),
            List.of(group.key(), threshold),
            Pairs.class,
            folder -> {
              List<SeedPair> pairs = new ArrayList<>();
              try (Opened saes = open(group)) {
                for (int i = 0; i < saes.all().size(); i++) {
                  for (int j = i + 1; j < saes.all().size(); j++) {
                    Curve first = group.curves().get(i);
                    Curve second = group.curves().get(j);
                    if (first.k() == second.k()) {
                      Sae a = saes.all().get(i);
                      Sae b = saes.all().get(j);
                      pairs.add(
                          new SeedPair(
                              group.on().name(),
                              first.k(),
                              first.name(),
                              second.name(),
                              Metrics.sharedFeatures(a, b, Directions.DECODER, threshold),
                              Metrics.sharedFeatures(a, b, Directions.ENCODER, threshold)));
                    }
                  }
                }
              }
              return new Pairs(pairs);
            })
        .result()
        .all();
  }

  private Map<String, KeptFake> fakeFeatures(Trained group, ActivationFilter filter)
      throws IOException {
    return steps
        .run(
            "fake-features-" + group.on().name(),
            List.of(
                group.key(),
                filter.toString(),
                config.fakeFeatures(),
                config.bootstrap(),
                context()),
            Fakes.class,
            folder -> {
              try (Opened saes = open(group)) {
                List<FakeFeatures> found =
                    Metrics.fakeFeatures(saes.all(), model, hook, fakeOptions(group.on(), filter));
                Map<String, KeptFake> bySae = new LinkedHashMap<>();
                for (int i = 0; i < found.size(); i++) {
                  bySae.put(
                      group.curves().get(i).name(),
                      new KeptFake(Fake.of(found.get(i)), found.get(i).resamples()));
                }
                return new Fakes(bySae);
              }
            })
        .result()
        .bySae();
  }

  /** By SAE and task. */
  private Map<String, Map<String, Probing>> probing(
      List<Trained> trained, ActivationFilter filter) {
    Map<String, Map<String, Probing>> bySae = new LinkedHashMap<>();
    if (trained.isEmpty()) {
      return bySae;
    }
    Optional<List<String>> tasks = attempt("probing", this::tasks);
    for (String task : tasks.orElse(List.of())) {
      attempt("probe-" + task, () -> probe(task, trained, filter))
          .ifPresent(
              found ->
                  found.forEach(
                      (sae, result) ->
                          bySae
                              .computeIfAbsent(sae, any -> new LinkedHashMap<>())
                              .put(task, result)));
    }
    return bySae;
  }

  private List<String> tasks() throws IOException {
    TaskFile tasks = config.probing().open();
    if (tasks == null) {
      return List.of();
    }
    return config.probing().only().isEmpty() ? tasks.present() : config.probing().only();
  }

  /** All SAEs in one step, since the activations and their probe are the same for all. */
  private Map<String, Probing> probe(String task, List<Trained> trained, ActivationFilter filter)
      throws IOException {
    TaskFile tasks = Objects.requireNonNull(config.probing().open());
    List<String> files = new ArrayList<>();
    for (Path file : tasks.files(task)) {
      files.add(Json.sha256(Files.readAllBytes(file)));
    }
    Probing.Options options =
        Probing.Options.clean().withFilter(filter).withMaxExamples(config.probing().maxExamples());
    return steps
        .run(
            "probe-" + task,
            List.of(trained.stream().map(Trained::key).toList(), files, options, context()),
            Probed.class,
            folder -> {
              ProbeTask examples = tasks.open(task, tokenizer, context());
              List<String> names = new ArrayList<>();
              try (Opened saes = new Opened(new ArrayList<>());
                  Progress progress = Progress.start(task, "texts", -1)) {
                for (Trained group : trained) {
                  for (Curve curve : group.curves()) {
                    names.add(curve.name());
                    saes.all().add(Sae.load(group.sae(curve), backend));
                  }
                }
                List<Probing> found =
                    Metrics.probe(saes.all(), model, hook, examples, options, progress::at);
                Map<String, Probing> bySae = new LinkedHashMap<>();
                for (int i = 0; i < names.size(); i++) {
                  bySae.put(names.get(i), found.get(i));
                }
                return new Probed(bySae);
              }
            })
        .result()
        .bySae();
  }

  private FakeFeatures.Options fakeOptions(Texts text, ActivationFilter filter) {
    StudyConfig.Fake fake = config.fakeFeatures();
    return FakeFeatures.Options.tokens(context())
        .noiseTokens(fake.tokens())
        .activationThreshold(fake.activation())
        .rateThreshold(fake.frequency())
        .filter(fake.filter(filter))
        .againstText(fake.falseDiscoveryRate(), fake.minimumRatio())
        .seed(fake.seed())
        .resamples(config.bootstrap().resamples())
        .level(config.bootstrap().level())
        .text(text.heldOut(), fake.textSequences())
        .build();
  }

  private List<Comparison> sharedFeatureComparisons(int k, List<SeedPair> all) {
    List<Comparison> comparisons = new ArrayList<>();
    String first = config.dataSets().get(0).name();
    List<SeedPair> ours = pairs(all, first, k);
    for (StudyConfig.DataSet other : config.dataSets().subList(1, config.dataSets().size())) {
      List<SeedPair> theirs = pairs(all, other.name(), k);
      for (int i = 0; i < Math.min(ours.size(), theirs.size()); i++) {
        comparisons.add(
            new Comparison(
                k,
                "Shared Feature Ratio (matched)"
                    + (ours.size() > 1 ? ", seed pair " + (i + 1) : ""),
                first,
                other.name(),
                Metrics.sharedFeatureDifference(
                    ours.get(i).decoder(),
                    theirs.get(i).decoder(),
                    config.bootstrap().resamples(),
                    config.bootstrap().level(),
                    config.bootstrap().seed())));
      }
    }
    return comparisons;
  }

  private static List<SeedPair> pairs(List<SeedPair> all, String dataSet, int k) {
    return all.stream().filter(pair -> pair.dataSet().equals(dataSet) && pair.k() == k).toList();
  }

  private List<Comparison> fakeFeatureComparisons(
      int k, List<TrainedSae> saes, Map<String, KeptFake> fakes) {
    List<Comparison> comparisons = new ArrayList<>();
    String first = config.dataSets().get(0).name();
    List<FakeFeatures.Resamples> ours = resamples(first, k, saes, fakes);
    for (StudyConfig.DataSet other : config.dataSets().subList(1, config.dataSets().size())) {
      List<FakeFeatures.Resamples> theirs = resamples(other.name(), k, saes, fakes);
      if (!ours.isEmpty() && !theirs.isEmpty()) {
        comparisons.add(
            new Comparison(
                k,
                "Fake Feature Ratio",
                first,
                other.name(),
                Metrics.fakeFeatureDifference(
                    ours, theirs, config.bootstrap().level(), config.bootstrap().seed())));
      }
    }
    return comparisons;
  }

  private static List<FakeFeatures.Resamples> resamples(
      String dataSet, int k, List<TrainedSae> saes, Map<String, KeptFake> fakes) {
    return saes.stream()
        .filter(sae -> sae.dataSet().equals(dataSet) && sae.k() == k)
        .flatMap(sae -> Stream.ofNullable(fakes.get(sae.name())))
        .map(KeptFake::resamples)
        .toList();
  }

  private ActivationSource source(TokenSource tokens, ActivationFilter filter) {
    return ActivationSources.ofModel(model, hook, tokens, filter, config.batchSequences());
  }

  private ModelResults.Model modelFacts() {
    return new ModelResults.Model(
        model.name(),
        model.dModel(),
        model.layers(),
        model.vocabularySize(),
        model.contextLength(),
        hook.toString(),
        modelHash);
  }

  private static ModelResults.DataSet dataSet(Texts text, Map<String, Norms> norms) {
    StudyData.Prepared prepared = text.prepared();
    return new ModelResults.DataSet(
        text.name(),
        prepared.origin(),
        prepared.sequences(),
        prepared.heldOut(),
        prepared.tokens(),
        prepared.distinctTokens(),
        prepared.hash(),
        Objects.requireNonNull(norms.get(text.name())),
        prepared.samples());
  }

  @Override
  public void close() {
    tokenizer.close();
    model.close();
  }
}
