package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.compare.Comparer;
import io.faithfulsae.study.compare.Comparison;
import io.faithfulsae.study.compare.Holm;
import io.faithfulsae.study.compare.ResultFile;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.provenance.TrainedOn;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The whole study at a small size.
 *
 * <p>Over 400 lines: one study is run once and looked at by many cases.
 */
@Tag("slow")
final class StudyTest {
  static final String TINY =
      """
      context: 32
      batchSequences: 8
      dataSets:
        - name: faithful
          generate: {tokens: 3000, maxLength: 64, temperature: 1.0, topP: 1.0, seed: 3}
        - name: outside
          file: embedded
          tokens: 3000
      sae: {dSae: 48, k: 6}
      training: {tokens: 6000, batch: 200, bufferRows: 1000, warmupSteps: 0, decaySteps: 0}
      evaluation: {rows: 300, ceTokens: 200}
      sharedFeatures: {threshold: 0.3}
      fakeFeatures: {tokens: 600, activation: 0.5, textSequences: 5}
      fakeVariants: {sequences: 5}
      kCurve: {multiples: [0, 1, 4], rows: 200, ceTokens: 60, fakeTokens: 300}
      featureSubsets: {shares: [0, 0.2, 1], rankingRows: 300, rows: 200, ceTokens: 60}
      seedAgreement: {rows: 200}
      bootstrap: {resamples: 200}
      samples: 2
      """;

  @TempDir Path dir;
  private final List<String> stepsDone = new ArrayList<>();

  @Test
  void secondStartDoesNothingAndGivesTheSame() throws IOException {
    Path out = dir.resolve("out");
    Study.Outcome first = run(TINY, out);
    String results = Files.readString(first.results());
    assertEquals(stepsDone.size(), first.stepsDone());
    assertTrue(first.stepsDone() > 8, stepsDone.toString());

    assertEquals(0, run(TINY, out).stepsDone());
    assertEquals(results, Files.readString(first.results()));

    Path fresh = dir.resolve("fresh");
    assertEquals(
        results,
        Files.readString(run(TINY, fresh).results()),
        "the same inputs give the same results");

    stepsDone.clear();
    String seeds = TINY + "seeds: [42, 50]\n";
    run(seeds, out);
    assertFalse(stepsDone.contains("data-faithful"), "data sets do not depend on the SAEs' seeds");
    assertTrue(stepsDone.contains("train-faithful"), stepsDone.toString());
    assertFalse(
        results.equals(Files.readString(first.results())), "other seeds give other results");
  }

  @Test
  void everySaeSaysWhatWasLeftOutOfItsTraining() throws IOException {
    Path out = dir.resolve("out");
    run(TINY, out);
    List<Path> configs;
    try (Stream<Path> files = Files.walk(out)) {
      configs = files.filter(file -> file.endsWith("cfg.json")).toList();
    }
    assertEquals(4, configs.size(), configs.toString());
    try (Backend backend = Backends.best()) {
      for (Path config : configs) {
        try (Sae sae = Sae.load(config.getParent(), backend)) {
          ActivationFilter filter = TrainedOn.filterOf(sae.metadata());
          assertEquals(1, filter.skipPositions());
          assertEquals(1, filter.excludedTokens().size(), "BOS");
          assertTrue(Double.isFinite(filter.maxNorm()), sae.metadata().toString());
        }
      }
    }
  }

  @Test
  void reportShowsEveryMeasureOfEverySae() throws IOException {
    Study.Outcome outcome = run(TINY, dir.resolve("out"));
    JsonNode results = Json.mapper().readTree(outcome.results().toFile());
    assertEquals(StudyResults.FORMAT, results.path("format").asText());
    assertEquals(1, results.path("models").size());
    JsonNode model = results.path("models").get(0);
    assertEquals(EmbeddedModel.NAME, model.path("name").asText());
    assertEquals(0, model.path("failures").size(), model.path("failures").toString());
    assertEquals(4, model.path("saes").size());
    assertEquals(2, model.path("seedPairs").size());
    assertEquals(4, model.path("comparisons").size(), "SFR, FFR, CE and explained variance");
    for (JsonNode sae : model.path("saes")) {
      assertEquals(2, sae.path("on").size(), "on every data set");
      assertEquals(30, sae.path("curve").get(sae.path("curve").size() - 1).path("step").asInt());
      double ratio = sae.path("fake").path("ratio").asDouble();
      assertEquals(sae.path("fake").path("count").asInt() / 48.0, ratio, 1e-12);
      JsonNode against = sae.path("fake").path("noiseAgainstText");
      assertEquals(48, against.path("dSae").asInt());
      assertEquals(against.path("moreOnNoise").asInt(), against.path("latents").size());
      assertTrue(
          sae.path("fakeVariants").path("sequences").path("noiseAgainstText").isMissingNode());
      for (JsonNode on : sae.path("on")) {
        JsonNode cost = on.path("crossEntropy");
        assertTrue(cost.path("meanAblated").isNumber() && cost.path("blocks").size() > 1);
      }
      assertCurves(sae);
    }
    assertCommonText(model);
    assertChecks(model);
    assertCorrected(model);
    assertEquals(2, model.path("seedAgreements").size());
    for (int i = 0; i < 2; i++) {
      assertTrue(
          model.path("seedAgreements").get(i).path("agreement").path("sharedByBoth").asDouble()
              <= model.path("seedPairs").get(i).path("decoder").path("matched").asDouble());
    }
    String report = Files.readString(outcome.report());
    for (String expected :
        List.of(
            "SFR matched",
            "FFR",
            "CE difference",
            "Explained variance",
            "L0",
            "Dead",
            "With other k",
            "Subsets of latents",
            "More on noise",
            "Fake Feature Ratio by each definition",
            "Recovered over the mean",
            "Shared by both",
            "Common text: CE difference (nats)",
            "Own text: CE difference (nats)",
            "equal parts of the held-out text of faithful, outside",
            "KL(data ‖ model)",
            "Token entropy (nats)",
            "Coverage of",
            ", corrected ",
            "Samples: faithful",
            "faithful",
            "outside")) {
      assertTrue(report.contains(expected), expected);
    }
    assertFalse(
        report.contains("http://") || report.contains("https://"), "the page must work offline");
    String sample = model.path("dataSets").get(0).path("samples").get(0).asText();
    assertTrue(report.contains(Html.escape(sample)), sample);
    for (String plot :
        List.of(
            "loss",
            "fake-features",
            "shared-features",
            "density",
            "cross-entropy",
            "matrix-explained-variance",
            "matrix-cross-entropy",
            "matrix-l2",
            "norms",
            "k-explained-variance",
            "k-cross-entropy",
            "k-fake-features",
            "subsets-frequency",
            "subsets-frequency-cross-entropy",
            "subsets-attribution",
            "subsets-attribution-cross-entropy")) {
      assertTrue(
          Files.size(outcome.report().resolveSibling(EmbeddedModel.NAME).resolve(plot + ".png"))
              > 1000,
          plot);
    }
  }

  /** One text for all SAEs, as the model's own cross entropy on it shows. */
  private static void assertCommonText(JsonNode model) {
    assertEquals(2, model.path("commonText").path("of").size());
    Set<Double> common = new HashSet<>();
    Set<Double> own = new HashSet<>();
    for (JsonNode sae : model.path("saes")) {
      common.add(sae.at("/common/crossEntropy/clean").asDouble());
      own.add(
          sae.path("on").path(sae.path("dataSet").asText()).at("/crossEntropy/clean").asDouble());
      assertTrue(sae.at("/common/reconstruction/rows").asLong() > 0);
    }
    assertEquals(1, common.size(), common.toString());
    assertEquals(2, own.size(), "each data set has its own text: " + own);
    double low = own.stream().mapToDouble(x -> x).min().orElseThrow();
    double high = own.stream().mapToDouble(x -> x).max().orElseThrow();
    double mixed = common.iterator().next();
    assertTrue(low < mixed && mixed < high, low + " " + mixed + " " + high);
  }

  private static void assertChecks(JsonNode model) {
    JsonNode faithful = model.path("dataSets").get(0);
    JsonNode outside = model.path("dataSets").get(1);
    assertEquals(1.0, faithful.path("faithfulShare").asDouble());
    assertEquals(0.0, outside.path("faithfulShare").asDouble());
    assertFalse(faithful.path("random").asText().isBlank());
    assertFalse(outside.has("random"), "no model sampled it");
    JsonNode first = faithful.at("/check/firstTokens");
    assertTrue(first.path("klDataFromModel").asDouble() > 0);
    assertEquals(
        (first.path("klDataFromModel").asDouble() + first.path("klModelFromData").asDouble()) / 2,
        first.path("halfJeffreys").asDouble(),
        1e-12);
    assertTrue(first.path("jensenShannon").asDouble() < Math.log(2));
    assertTrue(faithful.at("/check/statistics/tokens").asLong() >= 3000);
    double retokenized = faithful.at("/check/retokenized").asDouble(-1);
    assertTrue(retokenized >= 0 && retokenized <= 1);
    assertEquals(3, faithful.at("/check/coverage/outside").size(), "1-, 2- and 3-grams");
    assertTrue(outside.at("/check/statistics/tokenEntropy").asDouble() > 0);
    assertFalse(outside.path("check").has("firstTokens"), "no model generated it");
  }

  private static void assertCorrected(JsonNode model) {
    double[] p = new double[4];
    for (int i = 0; i < 4; i++) {
      p[i] = model.path("comparisons").get(i).at("/difference/pValue").asDouble();
    }
    double[] holm = Holm.adjust(p);
    for (int i = 0; i < 4; i++) {
      assertEquals(holm[i], model.path("comparisons").get(i).path("holmP").asDouble(), 1e-15);
    }
    assertFalse(java.util.Arrays.equals(holm, p), "correcting four p-values must change them");
    JsonNode cost = model.path("comparisons").get(2);
    double mean = 0;
    for (JsonNode sae : model.path("saes")) {
      double sign = sae.path("dataSet").asText().equals("faithful") ? 0.5 : -0.5;
      mean += sign * sae.at("/common/crossEntropy/difference").asDouble();
    }
    assertEquals("CE difference on the common text", cost.path("metric").asText());
    assertEquals(mean, cost.at("/difference/difference/estimate").asDouble(), 1e-9);
  }

  private static void assertCurves(JsonNode sae) {
    assertEquals(2, sae.path("fakeVariants").size());
    List<Integer> ks = new ArrayList<>();
    sae.path("byK").forEach(at -> ks.add(at.path("k").asInt()));
    assertEquals(List.of(1, 6, 24), ks, "0, 1 and 4 times its own k");
    for (JsonNode at : sae.path("byK")) {
      assertTrue(at.path("quality").path("l0").asDouble() <= at.path("k").asInt());
    }
    assertEquals(2, sae.path("subsets").size());
    for (JsonNode subsets : sae.path("subsets")) {
      JsonNode none = subsets.path("best").get(0);
      assertEquals(0, none.path("latents").asInt());
      assertEquals(none, subsets.path("worst").get(0));
      assertEquals(0, none.path("quality").path("l0").asDouble());
      JsonNode all = subsets.path("best").get(2);
      assertEquals(subsets.path("ranked"), all.path("latents"));
      assertEquals(all, subsets.path("worst").get(2), "all firing latents, from either end");
    }
  }

  @Test
  void otherTextCanBeTheCommonOne() throws IOException {
    String yaml =
        TINY.replace("ceTokens: 200}", "ceTokens: 200, common: outside}")
            .replace("fakeVariants: {sequences: 5}", "fakeVariants: {sequences: 0}");
    Study.Outcome outcome = run(yaml, dir.resolve("out"));
    JsonNode model = Json.mapper().readTree(outcome.results().toFile()).path("models").get(0);
    assertEquals("held-out text of outside", model.path("commonText").path("description").asText());
    for (JsonNode sae : model.path("saes")) {
      assertEquals(
          sae.path("on").path("outside").path("crossEntropy").path("replaced"),
          sae.path("common").path("crossEntropy").path("replaced"));
    }
  }

  @Test
  void comparedWithAnotherStudy() throws IOException {
    Path first = run(TINY, dir.resolve("out")).results();
    JsonNode model = Json.mapper().readTree(first.toFile()).path("models").get(0);
    Comparer.Options options = new Comparer.Options(List.of(), List.of(), 500, 1);
    Comparison one = Comparer.compare(List.of(), ResultFile.read(List.of(first), false), options);
    assertEquals(List.of("faithful", "outside"), one.dataSets());
    assertEquals(List.of(EmbeddedModel.NAME), one.models());
    Comparison.Measure fake = measure(one, "avg_fake_feature_ratio");
    double mean = 0;
    for (JsonNode sae : model.path("saes")) {
      if (sae.path("dataSet").asText().equals("faithful")) {
        mean += sae.path("fake").path("ratio").asDouble() / 2;
      }
    }
    assertEquals(mean, fake.averages().get("faithful"), 1e-12);
    assertEquals(1, fake.pairs().get(0).cells(), "one model, averaged over seeds");
    assertEquals(1, fake.pairs().get(0).bootstrapP(), "one cell proves nothing");
    assertFalse(measure(one, "ce_difference").higherIsBetter());
    assertTrue(measure(one, "sfr_matched").higherIsBetter());

    Comparison bySeed = Comparer.compare(List.of(), ResultFile.read(List.of(first), true), options);
    assertEquals(List.of("seed 42", "seed 49"), measure(bySeed, "avg_fake_feature_ratio").tasks());
    assertEquals(List.of("seeds 42, 49"), measure(bySeed, "sfr_matched").tasks());

    Path second = run(TINY + "seeds: [50, 51]\n", dir.resolve("other")).results();
    Comparison both =
        Comparer.compare(List.of(), ResultFile.read(List.of(first, second), false), options);
    assertEquals(1, both.models().size(), "seeds of both studies are of one model");
    double theirs =
        measure(
                Comparer.compare(List.of(), ResultFile.read(List.of(second), false), options),
                "avg_fake_feature_ratio")
            .averages()
            .get("faithful");
    assertEquals(
        (mean + theirs) / 2,
        measure(both, "avg_fake_feature_ratio").averages().get("faithful"),
        1e-12);
  }

  private static Comparison.Measure measure(Comparison comparison, String name) {
    return comparison.measures().stream()
        .filter(m -> m.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void planCountsWhatTheStudyDoes() throws IOException {
    Path out = dir.resolve("out");
    Path file = Files.writeString(dir.resolve("study.yaml"), TINY);
    try (Backend backend = Backends.open("cpu")) {
      StudyPlan.ModelPlan before = Study.plan(StudyFile.read(file), out, backend).models().get(0);
      assertEquals(0, before.keptSteps());
      assertEquals(4, before.saes());
      assertEquals(3000, before.generatedTokens());
      assertTrue(before.seconds() > 0);
      Study.Outcome outcome = run(TINY, out);
      assertEquals(before.steps(), outcome.stepsDone(), stepsDone.toString());
      try (Stream<Path> files = Files.walk(out.resolve("tiny-stories-gpt2/steps"))) {
        long written = files.filter(Files::isRegularFile).mapToLong(f -> f.toFile().length()).sum();
        assertTrue(written < before.bytes() + (1 << 20), written + " of " + before.bytes());
      }
      StudyPlan.ModelPlan after = Study.plan(StudyFile.read(file), out, backend).models().get(0);
      assertEquals(after.steps(), after.keptSteps());
      assertEquals(0, after.seconds());
    }
  }

  @Test
  void resultsAreAsTheSchemaSays() throws IOException {
    Path committed =
        Path.of("src/main/resources/io/faithfulsae/study").resolve(StudyResults.SCHEMA);
    String made = ResultsSchema.generate();
    if (Boolean.getBoolean("api.update")) {
      Files.writeString(committed, made);
    }
    assertEquals(
        made, Files.readString(committed), "rewrite it with -Dapi.update=true and review it");
    JsonNode results = Json.mapper().readTree(run(TINY, dir.resolve("out")).results().toFile());
    assertEquals(Set.of(), ResultsSchema.problems(results, made));
    ((ObjectNode) results.path("models").get(0)).put("unknown", 1);
    assertEquals(1, ResultsSchema.problems(results, made).size());
  }

  @Test
  void authorsPresetSetsWhatTheyCount() throws IOException {
    Path file =
        Files.writeString(
            dir.resolve("study.yaml"),
            "fakeFeatures: {preset: authors, tokens: 5, activation: 7, frequency: 0.9, seed: 8}");
    FakeSettings fake = StudyFile.read(file).models().values().iterator().next().fakeFeatures();
    assertEquals(1_000_000, fake.tokens());
    assertEquals(1.0, fake.activation());
    assertEquals(0.1, fake.frequency());
    assertEquals(8, fake.seed());
    ActivationFilter ofStudy = new ActivationFilter(3, Set.of(0), 100);
    assertEquals(new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY), fake.filter(ofStudy));
    Files.writeString(file, "fakeFeatures: {tokens: 5}");
    FakeSettings own = StudyFile.read(file).models().values().iterator().next().fakeFeatures();
    assertEquals(5, own.tokens());
    assertEquals(ofStudy, own.filter(ofStudy));
  }

  @Test
  void unknownSettingIsNamed() throws IOException {
    Path file = Files.writeString(dir.resolve("study.yaml"), "training: {tokns: 3}\n");
    SaeFormatException unknown = assertThrows(SaeFormatException.class, () -> StudyFile.read(file));
    assertTrue(
        unknown.getMessage().contains("tokns") && unknown.getMessage().contains("study.yaml"),
        unknown.getMessage());
    Files.writeString(file, "context: 1\n");
    SaeFormatException wrong = assertThrows(SaeFormatException.class, () -> StudyFile.read(file));
    assertTrue(
        wrong.getMessage().contains("context: expected at least 2, got 1"), wrong.getMessage());

    Files.writeString(file, "featureSubsets: {rankBy: [frequency, Attribution]}");
    assertEquals(
        List.of(Criterion.FREQUENCY, Criterion.ATTRIBUTION),
        StudyFile.read(file).models().values().iterator().next().featureSubsets().rankBy());

    Files.writeString(file, "featureSubsets: {rankBy: [size]}");
    SaeFormatException name = assertThrows(SaeFormatException.class, () -> StudyFile.read(file));
    assertTrue(name.getMessage().contains("featureSubsets.rankBy[0]"), name.getMessage());
    assertTrue(
        name.getMessage().contains("expected one of FREQUENCY, MEAN_ACTIVATION, ATTRIBUTION"),
        name.getMessage());
    assertTrue(name.getMessage().endsWith("got size; correct the value"), name.getMessage());
  }

  private Study.Outcome run(String yaml, Path out) throws IOException {
    Path file = Files.writeString(dir.resolve("study.yaml"), yaml);
    try (Backend backend = Backends.open("cpu")) {
      return Study.run(StudyFile.read(file), out, backend, SmallStudy.listener(stepsDone::add));
    }
  }
}
