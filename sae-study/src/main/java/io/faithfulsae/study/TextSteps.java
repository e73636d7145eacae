package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.ModelResults.Norms;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Steps that create the data sets and collect statistics before an SAE reads them. */
final class TextSteps {
  private static final int NORM_SEQUENCES = 256;

  private final StudyContext on;
  private final StudyData data;

  /**
   * A text that the model sampled.
   *
   * @param records number of texts
   * @param tokens number of tokens
   * @param retokenized share of texts that tokenize differently when read again
   * @param random name of the random generator
   */
  record Sampled(long records, long tokens, double retokenized, String random) {}

  TextSteps(StudyContext on) {
    this.on = on;
    this.data = new StudyData(on.config(), on.model(), on.tokenizer(), on.context());
  }

  /** Name of the step that creates a data set. */
  static String dataStep(String dataSet) {
    return "data-" + dataSet;
  }

  /** Name of the step in which the model samples. */
  static String sampleStep(String dataSet) {
    return "sample-" + dataSet;
  }

  /** Number of steps per data set that an entry does itself, besides sampling. */
  static int count(StudyConfig config, DataSet set) {
    return 2 + (isChecked(config, set) ? 1 : 0);
  }

  private static boolean isChecked(StudyConfig config, DataSet set) {
    return config.checks().tokens() > 0 && set.mixture() == null;
  }

  /** Samples a data set, unless this or another entry has already done so. */
  StepCache.Outcome<Sampled> sample(DataSet set) throws IOException {
    Sharing.Source source = on.sharing().sampled(on.name(), set);
    StudyConfig.Generate settings = Objects.requireNonNull(source.set().generate());
    return on.folders()
        .of(source.entry())
        .run(
            sampleStep(source.set().name()),
            List.of(on.modelHash(), settings),
            Sampled.class,
            folder -> {
              FaithfulDataset.Result made =
                  data.sample(source.set().name(), settings, folder, on.listener());
              Path how = folder.resolve(StudyText.JSON_LINES + ".settings.json");
              return new Sampled(
                  made.records(),
                  made.tokens(),
                  made.retokenizedDifferently(),
                  Json.mapper().readTree(Files.readAllBytes(how)).path("random").asText());
            });
  }

  Texts texts(DataSet set) throws IOException {
    StepCache.Outcome<StudyData.Prepared> step;
    if (set.generate() != null) {
      StepCache.Outcome<Sampled> sampled = sample(set);
      Path file = sampled.folder().resolve(StudyText.JSON_LINES);
      String random = sampled.result().random();
      step = prepare(set, sampled.key(), folder -> data.prepare(set, file, folder).drawnBy(random));
    } else if (set.mixture() != null) {
      List<Texts> parts = parts(set);
      step =
          prepare(
              set, parts.stream().map(Texts::key).toList(), folder -> data.mix(set, parts, folder));
    } else {
      StudyText text = data.given(set, sampled(set));
      step = prepare(set, data.known(text), folder -> data.prepare(text, folder));
    }
    return new Texts(
        set,
        step.result(),
        step.key(),
        data.training(step.result(), step.folder()),
        data.heldOut(step.result(), step.folder()));
  }

  private StepCache.Outcome<StudyData.Prepared> prepare(
      DataSet set, Object known, StepCache.Work work) throws IOException {
    return on.common()
        .run(
            dataStep(set.name()),
            List.of(on.modelHash(), data.inputs(set, known)),
            StudyData.Prepared.class,
            work);
  }

  private @Nullable Path sampled(DataSet set) {
    String from = set.from();
    if (from == null) {
      return null;
    }
    Sharing.Source source = on.sharing().sampled(from);
    return StepFolders.folder(on.study(), source.entry())
        .resolve(sampleStep(source.set().name()))
        .resolve(StudyText.JSON_LINES);
  }

  private List<Texts> parts(DataSet set) throws IOException {
    List<Texts> parts = new ArrayList<>();
    for (DataSet part : on.config().dataSets()) {
      if (Objects.requireNonNull(set.mixture()).containsKey(part.name())) {
        parts.add(texts(part));
      }
    }
    return parts;
  }

  Norms norms(Texts text) throws IOException {
    StudyConfig.Filter filter = on.config().filter();
    ActivationFilter unbounded = on.unbounded(filter);
    return on.common()
        .run(
            "norms-" + text.name(),
            List.of(text.key(), on.hook().toString(), filter.skipPositions(), filter.skipBos()),
            Norms.class,
            folder -> {
              ActivationFilter.Norms seen =
                  unbounded.norms(
                      on.model(),
                      on.hook(),
                      text.training(),
                      on.config().batchSequences(),
                      NORM_SEQUENCES);
              return new Norms(seen.median(), seen.rows(), seen.meanByPosition());
            })
        .result();
  }

  /** The checks of a data set; null if turned off, and for a mixture. */
  @Nullable DataSetCheck check(Texts text, List<Texts> all) throws IOException {
    StudyConfig.Checks settings = on.config().checks();
    if (!isChecked(on.config(), text.settings())) {
      return null;
    }
    List<Texts> outside = all.stream().filter(other -> other.settings().file() != null).toList();
    return on.common()
        .run(
            "check-" + text.name(),
            List.of(
                text.key(),
                settings,
                outside.stream().map(other -> List.of(other.name(), other.key())).toList()),
            DataSetCheck.class,
            folder -> check(text, outside, settings.tokens()))
        .result();
  }

  private DataSetCheck check(Texts text, List<Texts> outside, long most) throws IOException {
    boolean own = text.settings().generate() != null;
    if (!own && text.settings().from() == null) {
      return new DataSetCheck(Metrics.dataSet(whole(text), most), null, null, Map.of());
    }
    // Another model's texts, without its token ids, which may not be valid for this one.
    Path written = own ? sample(text.settings()).folder() : folder(text);
    TokenSource documents =
        TokenSources.documents(written.resolve(StudyText.JSON_LINES), on.tokenizer());
    Map<String, List<Double>> coverage = new LinkedHashMap<>();
    for (Texts other : outside) {
      List<Double> shares = new ArrayList<>();
      for (int n : on.config().checks().nGrams()) {
        shares.add(Metrics.coverage(documents, whole(other), n, most));
      }
      coverage.put(other.name(), shares);
    }
    return new DataSetCheck(
        Metrics.dataSet(documents, most),
        Metrics.firstTokens(documents, on.model(), most),
        own ? (Double) sample(text.settings()).result().retokenized() : null,
        coverage);
  }

  private TokenSource whole(Texts text) {
    return data.open(text.prepared(), folder(text));
  }

  private Path folder(Texts text) {
    return StepFolders.folder(on.study(), on.sharing().owner(on.name()))
        .resolve(dataStep(text.name()));
  }
}
