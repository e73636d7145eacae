package io.faithfulsae.examples;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.spi.Backend;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples run and do what they claim. */
final class ExamplesTest {
  private final PrintStream console = System.out;
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
  @TempDir Path dir;

  @BeforeEach
  void capture() {
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
  }

  @AfterEach
  void restore() {
    System.setOut(console);
  }

  @Test
  void quickStartTrainsAnSae() throws IOException, InterruptedException {
    QuickStart.main(new String[] {dir.resolve("sae").toString()});
    assertTrue(Files.exists(dir.resolve("sae").resolve("cfg.json")));
    assertTrue(number("FVU ") < 0.3, printed());
  }

  @Test
  void customSourceTrainsAnSae() throws IOException, InterruptedException {
    CustomSource.main(new String[0]);
    assertTrue(number("explained variance: ") > 0.9, printed());
  }

  @Test
  void plantedFakeFeaturesAreFound() throws IOException, InterruptedException {
    GroundTruth.main(new String[0]);
    int[] faithful = counts("faithful: ");
    assertTrue(faithful[0] > 0.95 * 192 && faithful[1] <= 1, printed());
    assertEquals(0, faithful[2]);
    int[] shifted = counts("shifted: ");
    assertTrue(shifted[0] > 0.95 * 192, printed());
    assertTrue(shifted[2] >= 12 && shifted[1] <= shifted[2] + 1, printed());
  }

  /** One test, because the later examples read what TrainOnModel wrote. */
  @Test
  void anSaeOfTheBundledModelIsTrainedExplainedComparedSteeredAndServed() throws Exception {
    String work = dir.toString();
    TrainOnModel.main(new String[] {work, "30000"});
    assertTrue(printed().contains("trained in 468 steps at blocks.2.hook_resid_pre"), printed());
    assertTrue(Files.exists(dir.resolve("sae").resolve("cfg.json")));

    String explained = printedBy(() -> ExplainSentence.main(new String[] {work, "the dog ran"}));
    List<String> lines = explained.lines().toList();
    assertTrue(lines.get(1).startsWith(" dog "), explained);
    String latent = lines.get(1).split("[\\s\\[]+")[2];
    assertTrue(explained.contains("latent " + latent + " promotes ["), explained);

    String[] steer = {work, latent, "0"};
    String[] unsteered = texts(printedBy(() -> SteerGeneration.main(steer)));
    assertTrue(unsteered[0].startsWith("<|endoftext|>once upon a time, there was"), unsteered[0]);
    assertEquals(unsteered[0], unsteered[1], "a strength of 0");
    steer[2] = "1000";
    String[] steered = texts(printedBy(() -> SteerGeneration.main(steer)));
    assertEquals(unsteered[0], steered[0]);
    assertNotEquals(unsteered[0], steered[1]);
    assertTrue(steered[2].startsWith("<|endoftext|>once upon a time"), steered[2]);

    String compared = printedBy(() -> CompareSeeds.main(new String[] {work, "60000"}));
    long shared =
        compared
            .lines()
            .filter(line -> line.startsWith("latent "))
            .map(line -> line.split(" ")[1])
            .distinct()
            .count();
    assertTrue(shared > 0, compared);
    assertEquals(shared / 512.0, number("shared: "), 1e-12, compared);

    EncodingService.main(new String[] {work});
    serviceKeepsItsMemory(dir.resolve("sae"));
  }

  private static void serviceKeepsItsMemory(Path folder) throws Exception {
    try (Backend backend = Backends.open("cpu");
        Sae sae = Sae.load(folder, backend)) {
      List<Integer> latents = IntStream.range(0, sae.config().dSae()).boxed().toList();
      long before = backend.liveBytes();
      EncodingService service = new EncodingService(sae, 3, 2);
      long serving = backend.liveBytes();
      assertTrue(serving > before);
      AtomicInteger rejected = new AtomicInteger();
      ExecutorService clients = Executors.newFixedThreadPool(12);
      List<Future<List<Integer>>> answers = new ArrayList<>();
      for (int latent : latents) {
        float[] row = sae.decoderDirection(latent);
        answers.add(clients.submit(() -> answer(service, row, rejected)));
      }
      for (int latent : latents) {
        assertEquals(direct(sae, latent), answers.get(latent).get(), "latent " + latent);
      }
      assertTrue(rejected.get() > 0, "12 clients, but capacity for only 5 requests");
      assertEquals(serving, backend.liveBytes());
      clients.shutdown();

      Future<int[]> last = service.encode(sae.decoderDirection(0));
      service.close();
      assertTrue(last.isDone(), "accepted requests are completed");
      assertThrows(RejectedExecutionException.class, () -> service.encode(new float[1]));
      assertEquals(before, backend.liveBytes());
    }
  }

  private static List<Integer> answer(EncodingService service, float[] row, AtomicInteger rejected)
      throws Exception {
    while (true) {
      try {
        return IntStream.of(service.encode(row).get()).boxed().toList();
      } catch (RejectedExecutionException full) {
        rejected.incrementAndGet();
        Thread.sleep(1);
      }
    }
  }

  private static List<Integer> direct(Sae sae, int latent) {
    try (var x = ActivationBatch.allocate(sae.backend(), 1, sae.config().dIn())) {
      try (Latents z = sae.encode(x.add(sae.decoderDirection(latent)))) {
        return z.row(0).stream().map(Latents.Active::latent).toList();
      }
    }
  }

  @Test
  void aCustomFamilyRunsItsModels() throws IOException {
    OwnFamily.main(new String[] {dir.toString()});
    assertEquals("once upon a time", printed().strip());
    assertTrue(Files.readString(dir.resolve("config.json")).contains("\"my_gpt\""));
  }

  @Test
  void aStudyStopsWhenItsTimeIsUpAndResumesLater() throws IOException {
    Path settings =
        Files.writeString(
            dir.resolve("study.yaml"),
            """
            context: 32
            seeds: [1, 2]
            dataSets:
              - name: faithful
                generate: {tokens: 3000, maxLength: 64}
              - {name: outside, file: embedded, tokens: 3000}
            sae: {dSae: 48, k: 6}
            training: {tokens: 20000, batch: 100, bufferRows: 1000, warmupSteps: 0, decaySteps: 0}
            evaluation: {rows: 200, ceTokens: 100}
            fakeFeatures: {tokens: 300, textSequences: 3}
            fakeVariants: {sequences: 0}
            kCurve: {multiples: []}
            featureSubsets: {rankBy: []}
            seedAgreement: {rows: 0}
            bootstrap: {resamples: 50}
            """);
    Path out = dir.resolve("out");
    String[] arguments = {settings.toString(), out.toString(), "0"};
    String stopped = printedBy(() -> StudyFromJava.main(arguments));
    assertTrue(stopped.contains("time is up: "), stopped);
    assertFalse(Files.exists(out.resolve("report.html")));
    arguments[2] = "1000";
    String done = printedBy(() -> StudyFromJava.main(arguments));
    assertTrue(done.contains("step train-outside"), done);
    assertTrue(done.contains(" steps done, see " + out.resolve("report.html")), done);
    assertTrue(Files.exists(out.resolve("report.html")));
  }

  @Test
  void everyExampleIsShortAndRunHere() throws IOException {
    Path sources = Path.of("src/main/java/io/faithfulsae/examples");
    String tests =
        Files.readString(Path.of("src/test/java/io/faithfulsae/examples/ExamplesTest.java"));
    try (Stream<Path> files = Files.list(sources)) {
      for (Path file : files.filter(f -> !f.endsWith("package-info.java")).toList()) {
        int lines = Files.readAllLines(file).size();
        assertTrue(lines <= 80, "expected at most 80 lines, got " + lines + " in " + file);
        String name = file.getFileName().toString().replace(".java", "");
        assertTrue(tests.contains(name + ".main("), name + " is not run by any test");
      }
    }
  }

  private interface Example {
    void run() throws IOException, InterruptedException;
  }

  private String printedBy(Example example) {
    int before = printed().length();
    assertDoesNotThrow(example::run);
    return printed().substring(before);
  }

  /** The text without steering, the text with it, and the text with the latent ablated. */
  private static String[] texts(String printed) {
    return printed
        .lines()
        .map(line -> line.replaceFirst("^(with(out)?|ablated): +", ""))
        .toArray(String[]::new);
  }

  /** The numbers in the line that starts with a label. */
  private int[] counts(String label) {
    String line =
        printed().lines().filter(each -> each.startsWith(label)).findFirst().orElseThrow();
    return Stream.of(line.split("\\D+"))
        .filter(n -> !n.isEmpty())
        .mapToInt(Integer::parseInt)
        .toArray();
  }

  private String printed() {
    return printed.toString(StandardCharsets.UTF_8);
  }

  private double number(String label) {
    String text = printed();
    String line =
        text.lines()
            .filter(each -> each.startsWith(label))
            .findFirst()
            .orElseThrow(() -> new AssertionError(text));
    return Double.parseDouble(line.substring(label.length()));
  }
}
