package io.faithfulsae.study.compare;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.study.compare.Comparison.Measure;
import io.faithfulsae.study.compare.Comparison.Pair;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The authors' own tables, recomputed from their result files. */
final class ComparerTest {
  private static final Comparer.Options DEFAULTS =
      new Comparer.Options(List.of(), List.of(), 10_000, 42);

  @TempDir Path dir;

  @Test
  void probingGivesTheStudysFigures() throws IOException {
    Comparison comparison = compare(DEFAULTS, "study_probing.json");
    assertEquals(List.of("faithful", "fineweb", "pile-uncopyrighted"), comparison.dataSets());
    assertEquals(5, comparison.models().size());
    assertEquals(List.of("stanfordnlp/sst2", "nyu-mll/glue/cola", "ag_news"), comparison.tasks());
    Measure accuracy = comparison.measures().get(0);
    Measure f1 = comparison.measures().get(1);
    assertAverages(accuracy, 0.7042, 0.7009, 0.7056);
    assertAverages(f1, 0.6347, 0.6298, 0.6342);
    assertPair(accuracy.pairs().get(0), 0.0034, 10);
    assertPair(accuracy.pairs().get(1), -0.0014, 7);
    assertPair(f1.pairs().get(0), 0.0049, 9);
    assertPair(f1.pairs().get(1), 0.0005, 6);
    assertEquals(0.7883, accuracy.byModel().get("Llama-3.2-3B").get("faithful"), 5e-5);
  }

  @Test
  void whatIsNotComparedIsNamedWithTheReason() throws IOException {
    List<String> leftOut = compare(DEFAULTS, "study_probing.json").leftOut();
    assertEquals(3, leftOut.size(), leftOut.toString());
    assertEquals("data set FLAN: 1 of 6 models have it", leftOut.get(0));
    assertEquals("model gemma-2-2b: it has no run on pile-uncopyrighted", leftOut.get(1));
    assertTrue(leftOut.get(2).startsWith("task yelp_polarity: it is missing for Llama-3.2-3B"));
  }

  /** {@code scipy.stats.binomtest(wins, 15).pvalue}, SciPy 1.17. */
  @Test
  void signTestIsScipys() throws IOException {
    Comparison comparison = compare(DEFAULTS, "study_probing.json");
    List<Pair> accuracy = comparison.measures().get(0).pairs();
    assertEquals(0.3017578125, accuracy.get(0).signP(), 1e-10, "10 of 15");
    assertEquals(1, accuracy.get(1).signP(), 1e-10, "7 of 15");
    assertEquals(
        0.6072387695, comparison.measures().get(1).pairs().get(0).signP(), 1e-9, "9 of 15");
  }

  @Test
  void fewerFakeFeaturesWin() throws IOException {
    Measure measure = compare(DEFAULTS, "study_fake_features.json").measures().get(0);
    assertEquals("avg_fake_feature_ratio", measure.name());
    // Two models, gpt2-small and Llama-3.1-8B: (0.0030111 + 0.0360413) / 2.
    assertEquals(0.0195262, measure.averages().get("faithful"), 1e-7);
    assertEquals(1, measure.pairs().get(0).wins(), "fewer for Llama 3.1 8B, more for GPT-2");
    assertEquals(1, measure.pairs().get(0).losses());
  }

  @Test
  void differencesStayWithTheirCells() {
    // Every cell improves by 0.1 whatever its level, so all resamples agree.
    List<Run> runs =
        List.of(
            run("small", "a", 0.2),
            run("small", "b", 0.1),
            run("big", "a", 0.9),
            run("big", "b", 0.8));
    Pair pair = Comparer.compare(List.of(), runs, DEFAULTS).measures().get(0).pairs().get(0);
    assertEquals(0.1, pair.difference().low(), 1e-12);
    assertEquals(0.1, pair.difference().high(), 1e-12);
    assertEquals(
        2.0 / 10_001, pair.bootstrapP(), 1e-4, "the smallest p-value for this many resamples");
  }

  /** Four hypotheses by hand: 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 not below the one before. */
  @Test
  void holmsCorrection() {
    assertArrayEquals(
        new double[] {0.03, 0.06, 0.06, 0.02},
        Holm.adjust(new double[] {0.01, 0.04, 0.03, 0.005}),
        1e-15);
    assertArrayEquals(new double[] {1, 1}, Holm.adjust(new double[] {0.6, 0.9}));
  }

  @Test
  void refusesWhatCannotBeCompared() throws IOException {
    List<Run> one = List.of(run("small", "a", 0.2));
    assertSays(() -> Comparer.compare(List.of(), one, DEFAULTS), "small [a]");
    List<Run> twice = List.of(run("small", "a", 0.2), run("small", "a", 0.3));
    assertSays(() -> Comparer.compare(List.of(), twice, DEFAULTS), "got 0.2 and 0.3");
    List<Run> runs = List.of(run("small", "a", 0.2), run("small", "b", 0.3));
    assertSays(
        () ->
            Comparer.compare(
                List.of(), runs, new Comparer.Options(List.of("a", "c"), List.of(), 10, 1)),
        "among [a, b], got c");
    assertSays(
        () ->
            Comparer.compare(
                List.of(), runs, new Comparer.Options(List.of(), List.of("recon_acc"), 10, 1)),
        "among [sae_acc], got [recon_acc]");
    Path file = Files.writeString(dir.resolve("a.json"), "{\"format\": 1}");
    SaeFormatException format = assertThrows(SaeFormatException.class, () -> ResultFile.read(file));
    assertTrue(format.getMessage().contains("a.json"), format.getMessage());
  }

  private static void assertSays(org.junit.jupiter.api.function.Executable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static Run run(String model, String dataSet, double accuracy) {
    return new Run(model, dataSet, Map.of("task", Map.of("sae_acc", accuracy)));
  }

  private static void assertAverages(
      Measure measure, double faithful, double fineweb, double pile) {
    assertEquals(faithful, measure.averages().get("faithful"), 5e-5);
    assertEquals(fineweb, measure.averages().get("fineweb"), 5e-5);
    assertEquals(pile, measure.averages().get("pile-uncopyrighted"), 5e-5);
  }

  private static void assertPair(Pair pair, double difference, int wins) {
    assertEquals(difference, pair.difference().estimate(), 5e-5, pair.toString());
    assertEquals(wins, pair.wins());
    assertEquals(15, pair.cells());
  }

  private static Comparison compare(Comparer.Options options, String name) throws IOException {
    try {
      Path file = Path.of(ComparerTest.class.getResource(name).toURI());
      return Comparer.compare(List.of(name), ResultFile.read(file), options);
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }
}
