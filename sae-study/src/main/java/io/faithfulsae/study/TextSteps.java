package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.study.ModelResults.Norms;
import io.faithfulsae.study.StepCache.Outcome;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyConfig.Generate;
import io.faithfulsae.study.StudyData.Prepared;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Creates the data sets, each with the norms of its activations. */
final class TextSteps implements Measurement {
  private static final int NORM_SEQUENCES = 256;

  /**
   * A text that the model sampled.
   *
   * @param records number of texts
   * @param tokens number of tokens
   * @param retokenized share of texts that tokenize differently when read again
   * @param random name of the random generator
   */
  record Sampled(long records, long tokens, double retokenized, String random) {}

  @Override
  public String name() {
    return "data";
  }

  @Override
  public List<Unit> units(StudyContext on) throws IOException {
    List<DataSet> sets = on.config().dataSets();
    List<DataSet> mixturesLast =
        Stream.concat(
                sets.stream().filter(set -> set.mixture() == null),
                sets.stream().filter(set -> set.mixture() != null))
            .toList();
    List<Unit> units = new ArrayList<>();
    for (DataSet set : mixturesLast) {
      if (set.generate() != null) {
        units.add(sample(on, set));
      }
      units.add(
          Unit.common(
              on,
              dataStep(set.name()),
              Cost.ofText(tokens(on.config(), set)),
              (found, step) -> found.made.put(set.name(), make(on, set, found, step))));
      units.add(
          Unit.common(
              on,
              "norms-" + set.name(),
              Cost.NONE,
              (found, step) ->
                  found.norms.put(set.name(), norms(on, Findings.need(found.made, set), step))));
    }
    return units;
  }

  @Override
  public void section(ModelResults results, Html page) {
    TextSection.write(results, page);
  }

  /** The units that let the model sample, for the entries that read its texts. */
  static List<Unit> sampling(StudyContext on) {
    return on.config().dataSets().stream()
        .filter(set -> set.generate() != null)
        .map(set -> sample(on, set))
        .toList();
  }

  /** The folder of the step that created a data set. */
  static Path folder(StudyContext on, Texts text) {
    return StepFolders.folder(on.study(), on.sharing().owner(on.name()))
        .resolve(dataStep(text.name()));
  }

  private static String dataStep(String dataSet) {
    return "data-" + dataSet;
  }

  private static String sampleStep(String dataSet) {
    return "sample-" + dataSet;
  }

  /** Samples a data set, unless another entry does so. */
  private static Unit sample(StudyContext on, DataSet set) {
    Sharing.Source source = on.sharing().sampled(on.name(), set);
    String name = source.set().name();
    Generate settings = Objects.requireNonNull(source.set().generate());
    return new Unit(
        source.entry(),
        sampleStep(name),
        Cost.ofSampling(settings.tokens()),
        (found, step) ->
            found.sampled.put(
                set.name(),
                step.run(
                    List.of(on.modelHash(), settings),
                    Sampled.class,
                    folder -> {
                      FaithfulDataset.Result made =
                          on.data().sample(name, settings, folder, on.listener());
                      Path how = folder.resolve(StudyText.JSON_LINES + ".settings.json");
                      return new Sampled(
                          made.records(),
                          made.tokens(),
                          made.retokenizedDifferently(),
                          Json.mapper().readTree(Files.readAllBytes(how)).path("random").asText());
                    })));
  }

  private static Texts make(StudyContext on, DataSet set, Findings found, Step step)
      throws IOException {
    StudyData data = on.data();
    Outcome<Prepared> prepared;
    if (set.generate() != null) {
      Outcome<Sampled> sampled = Findings.need(found.sampled, set);
      Path file = sampled.folder().resolve(StudyText.JSON_LINES);
      String random = sampled.result().random();
      prepared =
          prepare(
              on,
              set,
              sampled.key(),
              step,
              folder -> data.prepare(set, file, folder).drawnBy(random));
    } else if (set.mixture() != null) {
      Map<String, Double> shares = set.mixture();
      List<Texts> parts =
          on.config().dataSets().stream()
              .filter(part -> shares.containsKey(part.name()))
              .map(part -> Findings.need(found.made, part))
              .toList();
      prepared =
          prepare(
              on,
              set,
              parts.stream().map(Texts::key).toList(),
              step,
              folder -> data.mix(set, parts, folder));
    } else {
      StudyText text = data.given(set, sampledBy(on, set));
      prepared = prepare(on, set, data.known(text), step, folder -> data.prepare(text, folder));
    }
    return new Texts(
        set,
        prepared.result(),
        prepared.key(),
        data.training(prepared.result(), prepared.folder()),
        data.heldOut(prepared.result(), prepared.folder()));
  }

  private static Outcome<Prepared> prepare(
      StudyContext on, DataSet set, Object known, Step step, StepCache.Work work)
      throws IOException {
    return step.run(List.of(on.modelHash(), on.data().inputs(set, known)), Prepared.class, work);
  }

  /** Where another entry's model wrote the text. */
  private static @Nullable Path sampledBy(StudyContext on, DataSet set) {
    String from = set.from();
    if (from == null) {
      return null;
    }
    Sharing.Source source = on.sharing().sampled(from);
    return StepFolders.folder(on.study(), source.entry())
        .resolve(sampleStep(source.set().name()))
        .resolve(StudyText.JSON_LINES);
  }

  private static Norms norms(StudyContext on, Texts text, Step step) throws IOException {
    StudyConfig.Filter filter = on.config().filter();
    ActivationFilter unbounded = on.unbounded(filter);
    return step.run(
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

  /**
   * Most tokens that a data set's own step stores. A mixture is at most as long as its parts
   * together; sampled text is counted where it is sampled.
   */
  private static long tokens(StudyConfig config, DataSet set) throws IOException {
    Long limit = set.tokens();
    Map<String, Double> shares = set.mixture();
    String file = set.file();
    if (limit != null) {
      return limit;
    }
    if (shares != null) {
      long tokens = 0;
      for (DataSet part : config.dataSets()) {
        if (shares.containsKey(part.name())) {
          Generate generate = part.generate();
          tokens += generate == null ? tokens(config, part) : generate.tokens();
        }
      }
      return tokens;
    }
    if (file != null && !file.equals("embedded") && Files.exists(Path.of(file))) {
      return bytes(Path.of(file)) / 3; // a token is a few letters
    }
    return 0;
  }

  private static long bytes(Path fileOrFolder) throws IOException {
    long bytes = 0;
    try (Stream<Path> files = Files.walk(fileOrFolder)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        bytes += Files.size(file);
      }
    }
    return bytes;
  }
}
