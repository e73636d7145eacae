package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Metrics;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TokenSource;
import io.faithfulsae.console.TrainingSession;
import io.faithfulsae.internal.AtomicFile;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.StudyResults.Comparison;
import io.faithfulsae.study.StudyResults.Evaluation;
import io.faithfulsae.study.StudyResults.Fake;
import io.faithfulsae.study.StudyResults.Norms;
import io.faithfulsae.study.StudyResults.SeedPair;
import io.faithfulsae.study.StudyResults.TrainedSae;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The study: a model writes its own data set; SAEs are trained with several seeds on it and on
 * outside text, and compared.
 *
 * <p>Every step is kept in the output folder, so that a study that was stopped goes on where it
 * was, and a setting that was changed costs only the steps that depend on it.
 */
public final class Study {
  private static final int NORM_SEQUENCES = 256;

  private final StudyConfig config;
  private final Path out;
  private final Backend backend;
  private final OnnxModel model;
  private final HookPoint hook;
  private final StudyData data;
  private final Steps steps;
  private final String modelHash;

  /**
   * Where a study's results are.
   *
   * @param report the page to look at
   * @param results the numbers
   * @param stepsDone steps that this run has done; 0 if all were done before
   */
  public record Outcome(Path report, Path results, int stepsDone) {}

  /** A data set with its parts. */
  private record Texts(
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
  private record Trained(Texts on, String key, Path folder, List<Curve> curves) {
    Path sae(long seed) {
      return folder.resolve("seed-" + seed);
    }
  }

  /** How one SAE was trained. */
  private record Curve(
      long seed,
      long steps,
      long rows,
      ActivationFilter.Counts counts,
      List<StudyResults.CurvePoint> points) {}

  private record Curves(List<Curve> all) {}

  private record Pairs(List<SeedPair> all) {}

  private record Fakes(Map<String, Fake> bySae, List<Comparison> comparisons) {}

  private Study(
      StudyConfig config,
      Path out,
      Backend backend,
      OnnxModel model,
      Tokenizer tokenizer,
      String modelHash,
      Steps steps) {
    this.config = config;
    this.out = out;
    this.backend = backend;
    this.model = model;
    this.modelHash = modelHash;
    this.steps = steps;
    this.hook =
        config.hook().equals("middle")
            ? HookPoint.residPre(model.layers() / 2)
            : HookPoint.parse(config.hook());
    this.data =
        new StudyData(config, model, tokenizer, Math.min(config.context(), model.contextLength()));
  }

  /**
   * Runs a study, or what is missing of it.
   *
   * @param out made if need be
   * @param log hears the name of each step that is done
   */
  public static Outcome run(StudyConfig config, Path out, Backend backend, Consumer<String> log)
      throws IOException {
    Files.createDirectories(out);
    String folder = config.model();
    Path modelFolder =
        folder == null ? EmbeddedModel.unpack(out.resolve(EmbeddedModel.NAME)) : Path.of(folder);
    try (OnnxModel model = OnnxModel.open(modelFolder);
        Tokenizer tokenizer = Tokenizer.open(modelFolder)) {
      Steps steps = new Steps(out.resolve("steps"), log);
      return new Study(config, out, backend, model, tokenizer, ModelHash.of(modelFolder), steps)
          .run();
    }
  }

  private Outcome run() throws IOException {
    List<Texts> texts = new ArrayList<>();
    for (StudyConfig.DataSet set : config.dataSets()) {
      texts.add(texts(set));
    }
    Map<String, Norms> norms = new LinkedHashMap<>();
    for (Texts text : texts) {
      norms.put(text.name(), norms(text));
    }
    ActivationFilter filter = filter(norms);
    List<Trained> trained = new ArrayList<>();
    for (Texts text : texts) {
      trained.add(train(text, filter));
    }
    Fakes fakes = fakeFeatures(trained, filter);
    List<TrainedSae> saes = new ArrayList<>();
    List<SeedPair> pairs = new ArrayList<>();
    for (Trained group : trained) {
      for (Curve curve : group.curves()) {
        Map<String, Evaluation> on = new LinkedHashMap<>();
        for (Texts text : texts) {
          on.put(text.name(), evaluate(group, curve.seed(), text, filter));
        }
        String name = name(group, curve.seed());
        saes.add(
            new TrainedSae(
                name,
                group.on().name(),
                curve.seed(),
                out.relativize(group.sae(curve.seed())).toString(),
                curve.steps(),
                curve.rows(),
                curve.counts(),
                curve.points(),
                on,
                StudyResults.find(fakes.bySae(), name)));
      }
      pairs.addAll(match(group));
    }
    List<Comparison> comparisons = new ArrayList<>(sharedFeatureComparisons(pairs));
    comparisons.addAll(fakes.comparisons());
    return report(
        new StudyResults(
            StudyResults.FORMAT,
            Provenance.of(backend),
            config,
            modelFacts(),
            filter.maxNorm(),
            texts.stream()
                .map(text -> dataSet(text, StudyResults.find(norms, text.name())))
                .toList(),
            saes,
            pairs,
            comparisons));
  }

  private Texts texts(StudyConfig.DataSet set) throws IOException {
    Steps.Outcome<StudyData.Prepared> step =
        steps.run(
            "data-" + set.name(),
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
    double median = norms.values().stream().mapToDouble(Norms::median).max().orElseThrow();
    return multiple == null ? unboundedFilter() : unboundedFilter().withMaxNorm(multiple * median);
  }

  private Trained train(Texts text, ActivationFilter filter) throws IOException {
    ActivationSource source = source(text.training(), filter);
    SaeConfig shape = SaeConfig.topK(source.dIn(), config.sae().dSae(), config.sae().k());
    Steps.Outcome<Curves> step =
        steps.run(
            "train-" + text.name(),
            List.of(
                text.key(),
                source.description(),
                shape,
                config.training(),
                config.seeds(),
                backend.info().name()),
            Curves.class,
            folder -> train(text, filter, source, shape, folder));
    return new Trained(text, step.key(), step.folder(), step.result().all());
  }

  private Curves train(
      Texts text, ActivationFilter filter, ActivationSource source, SaeConfig shape, Path folder)
      throws IOException {
    Map<String, String> metadata =
        new TrainedOn(
                model.name(),
                hook,
                text.name(),
                Math.min(config.context(), model.contextLength()),
                filter)
            .metadata();
    List<SaeTrainer> trainers = new ArrayList<>();
    List<Path> dirs = new ArrayList<>();
    List<CurveFile> curves = new ArrayList<>();
    for (long seed : config.seeds()) {
      Path dir = folder.resolve("seed-" + seed);
      CurveFile curve = new CurveFile(folder.resolve("curve-" + seed + ".jsonl"));
      trainers.add(
          SaeTrainer.of(shape, trainingConfig(seed), backend)
              .withMetadata(metadata)
              .withListener(curve));
      dirs.add(dir);
      curves.add(curve);
    }
    List<TrainingResult> results = TrainingSession.run(text.name(), trainers, source, dirs, true);
    List<Curve> all = new ArrayList<>();
    for (int i = 0; i < results.size(); i++) {
      TrainingResult result = results.get(i);
      all.add(
          new Curve(
              config.seeds().get(i),
              result.steps(),
              result.tokens(),
              result.counts(),
              curves.get(i).points()));
    }
    return new Curves(all);
  }

  private TrainingConfig trainingConfig(long seed) {
    StudyConfig.Training training = config.training();
    return TrainingConfig.builder()
        .tokens(training.tokens())
        .batch(training.batch())
        .lr(training.lr())
        .warmupSteps(training.warmupSteps())
        .decaySteps(training.decaySteps())
        .bufferRows(training.bufferRows())
        .seed(seed)
        .checkpointSteps(100)
        .build();
  }

  private Evaluation evaluate(Trained group, long seed, Texts text, ActivationFilter filter)
      throws IOException {
    return steps
        .run(
            "evaluate-" + name(group, seed) + "-on-" + text.name(),
            List.of(
                group.key(),
                text.key(),
                filter.toString(),
                config.evaluation(),
                config.batchSequences()),
            Evaluation.class,
            folder -> {
              try (Sae sae = Sae.load(group.sae(seed), backend)) {
                return new Evaluation(
                    Metrics.reconstruction(
                        sae, source(text.heldOut(), filter), config.evaluation().rows()),
                    Metrics.crossEntropy(
                        sae, model, hook, text.heldOut(), filter, config.evaluation().ceTokens()));
              }
            })
        .result();
  }

  private List<SeedPair> match(Trained group) throws IOException {
    double threshold = config.sharedFeatures().threshold();
    List<Long> seeds = config.seeds();
    return steps
        .run(
            "match-" + group.on().name(),
            List.of(group.key(), threshold),
            Pairs.class,
            folder -> {
              List<SeedPair> pairs = new ArrayList<>();
              for (int i = 0; i < seeds.size(); i++) {
                for (int j = i + 1; j < seeds.size(); j++) {
                  try (Sae a = Sae.load(group.sae(seeds.get(i)), backend);
                      Sae b = Sae.load(group.sae(seeds.get(j)), backend)) {
                    pairs.add(
                        new SeedPair(
                            group.on().name(),
                            name(group, seeds.get(i)),
                            name(group, seeds.get(j)),
                            Metrics.sharedFeatures(a, b, Directions.DECODER, threshold),
                            Metrics.sharedFeatures(a, b, Directions.ENCODER, threshold)));
                  }
                }
              }
              return new Pairs(pairs);
            })
        .result()
        .all();
  }

  /** All SAEs in one step: they are compared by their resamples, which results do not keep. */
  private Fakes fakeFeatures(List<Trained> trained, ActivationFilter filter) throws IOException {
    return steps
        .run(
            "fake-features",
            List.of(
                trained.stream().map(Trained::key).toList(),
                filter.toString(),
                config.fakeFeatures(),
                config.bootstrap(),
                config.context()),
            Fakes.class,
            folder -> measureFakeFeatures(trained, filter))
        .result();
  }

  private Fakes measureFakeFeatures(List<Trained> trained, ActivationFilter filter)
      throws IOException {
    Map<String, Fake> bySae = new LinkedHashMap<>();
    List<List<FakeFeatures>> groups = new ArrayList<>();
    for (Trained group : trained) {
      List<FakeFeatures> ofGroup = new ArrayList<>();
      for (long seed : config.seeds()) {
        try (Sae sae = Sae.load(group.sae(seed), backend)) {
          FakeFeatures fake =
              Metrics.fakeFeatures(sae, model, hook, fakeOptions(group.on(), filter));
          ofGroup.add(fake);
          bySae.put(name(group, seed), Fake.of(fake));
        }
      }
      groups.add(ofGroup);
    }
    List<Comparison> comparisons = new ArrayList<>();
    for (int other = 1; other < groups.size(); other++) {
      comparisons.add(
          new Comparison(
              "Fake Feature Ratio",
              trained.get(0).on().name(),
              trained.get(other).on().name(),
              Metrics.fakeFeatureDifference(
                  groups.get(0),
                  groups.get(other),
                  config.bootstrap().level(),
                  config.bootstrap().seed())));
    }
    return new Fakes(bySae, comparisons);
  }

  private FakeFeatures.Options fakeOptions(Texts text, ActivationFilter filter) {
    StudyConfig.Fake fake = config.fakeFeatures();
    return FakeFeatures.Options.tokens(Math.min(config.context(), model.contextLength()))
        .noiseTokens(fake.tokens())
        .activationThreshold(fake.activation())
        .rateThreshold(fake.frequency())
        .filter(filter)
        .seed(fake.seed())
        .resamples(config.bootstrap().resamples())
        .level(config.bootstrap().level())
        .text(text.heldOut(), fake.textSequences())
        .build();
  }

  private List<Comparison> sharedFeatureComparisons(List<SeedPair> pairs) {
    List<Comparison> comparisons = new ArrayList<>();
    String first = config.dataSets().get(0).name();
    List<SeedPair> ours = pairs.stream().filter(pair -> pair.dataSet().equals(first)).toList();
    for (StudyConfig.DataSet other : config.dataSets().subList(1, config.dataSets().size())) {
      List<SeedPair> theirs =
          pairs.stream().filter(pair -> pair.dataSet().equals(other.name())).toList();
      for (int i = 0; i < ours.size(); i++) {
        comparisons.add(
            new Comparison(
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

  private Outcome report(StudyResults results) throws IOException {
    Path json = out.resolve("results.json");
    Path report = out.resolve("report.html");
    AtomicFile.writeString(json, Json.pretty(results));
    AtomicFile.writeString(
        report, HtmlReport.render(results, Plots.write(results, out), steps.seconds()));
    return new Outcome(report, json, steps.done());
  }

  private ActivationSource source(TokenSource tokens, ActivationFilter filter) {
    return ActivationSources.ofModel(model, hook, tokens, filter, config.batchSequences());
  }

  private StudyResults.Model modelFacts() {
    return new StudyResults.Model(
        model.name(),
        model.dModel(),
        model.layers(),
        model.vocabularySize(),
        model.contextLength(),
        hook.toString(),
        modelHash);
  }

  private static StudyResults.DataSet dataSet(Texts text, Norms norms) {
    StudyData.Prepared prepared = text.prepared();
    return new StudyResults.DataSet(
        text.name(),
        prepared.origin(),
        prepared.sequences(),
        prepared.heldOut(),
        prepared.tokens(),
        prepared.distinctTokens(),
        prepared.hash(),
        norms,
        prepared.samples());
  }

  private static String name(Trained group, long seed) {
    return group.on().name() + "-" + seed;
  }
}
