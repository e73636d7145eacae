package io.faithfulsae.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples run and do what they say. */
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
    assertTrue(number("FVU ") < 0.3, printed.toString(StandardCharsets.UTF_8));
  }

  @Test
  void customSourceIsReadAsAnyOther() throws IOException, InterruptedException {
    CustomSource.main(new String[0]);
    assertTrue(number("explained variance: ") > 0.9, printed.toString(StandardCharsets.UTF_8));
  }

  @Test
  void fakeFeaturesThatWerePlantedAreFound() throws IOException, InterruptedException {
    for (GroundTruth.Line line : GroundTruth.run(dir)) {
      assertTrue(line.recovered() > 0.95, line.toString());
      if (line.rows().equals("faithful")) {
        assertTrue(line.fake() <= 1, line.toString());
        assertEquals(0, line.planted());
      } else {
        assertTrue(line.planted() >= 14, line.toString());
        assertTrue(line.fake() <= line.planted() + 1, line.toString());
      }
    }
  }

  private double number(String label) {
    String text = printed.toString(StandardCharsets.UTF_8);
    String line =
        text.lines()
            .filter(each -> each.startsWith(label))
            .findFirst()
            .orElseThrow(() -> new AssertionError(text));
    return Double.parseDouble(line.substring(label.length()));
  }
}
