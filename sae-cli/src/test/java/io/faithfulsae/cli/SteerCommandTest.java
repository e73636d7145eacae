package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.cli.Tiny.Ran;
import io.faithfulsae.cli.console.Columns;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae steer} with an SAE of the bundled model. */
class SteerCommandTest {
  @TempDir Path dir;
  private Path sae;

  @BeforeEach
  void train() throws IOException {
    Path text = dir.resolve("text.jsonl");
    Tiny.sae("generate", "--budget", 2_000, "--max-length", 24, "--out", text).ok();
    sae = dir.resolve("sae");
    Tiny.sae(
            "train",
            "--hook",
            "blocks.1.hook_resid_pre",
            "--data",
            text,
            "--context",
            16,
            "--d-sae",
            32,
            "--k",
            4,
            "--tokens",
            4_000,
            "--batch",
            200,
            "--out",
            sae)
        .ok();
  }

  private Ran steer(Object... options) {
    List<Object> all = new ArrayList<>(List.of("steer", "--sae", sae, "--max-length", 24));
    all.addAll(Arrays.asList(options));
    return Tiny.sae(all.toArray());
  }

  @Test
  void theUnsteeredTextIsTheModelsAndStrengthDecidesAboutTheOther() throws IOException {
    Path data = dir.resolve("data.jsonl");
    Tiny.sae("generate", "--budget", 90, "--max-length", 24, "--seed", 5, "--out", data).ok();
    List<String> records = new ArrayList<>();
    for (String line : Files.readAllLines(data)) {
      records.add(new JsonMapper().readTree(line).path("text").asText());
    }
    JsonNode nothing = steer("--latent", 3, "--strength", 0, "--seed", 5, "--json").ok().json();
    JsonNode much = steer("--latent", 3, "--strength", 1e4, "--seed", 5, "--json").ok().json();
    assertEquals("blocks.1.hook_resid_pre", much.path("hook").asText());
    assertEquals(3, much.path("latent").asInt());
    assertEquals(1e4, much.path("strength").asDouble());
    assertFalse(much.has("value"));
    assertEquals(3, much.path("texts").size());
    for (int i = 0; i < 3; i++) {
      String unsteered = nothing.path("texts").path(i).path("unsteered").asText();
      assertTrue(records.get(i).contains(unsteered), unsteered + " is in record " + records.get(i));
      assertEquals(unsteered, nothing.path("texts").path(i).path("steered").asText());
      assertEquals(unsteered, much.path("texts").path(i).path("unsteered").asText());
      assertNotEquals(unsteered, much.path("texts").path(i).path("steered").asText());
    }
  }

  @Test
  void clampedTextsContinueThePromptAndAblatingIsClampingToZero() throws IOException {
    JsonNode clamped =
        steer("--latent", 1, "--clamp", 500, "--prompt", "the dog", "--texts", 2, "--json")
            .ok()
            .json();
    assertEquals(500, clamped.path("value").asDouble());
    assertFalse(clamped.has("strength"));
    assertEquals("the dog", clamped.path("prompt").asText());
    for (JsonNode pair : clamped.path("texts")) {
      assertTrue(pair.path("unsteered").asText().startsWith("the dog"), pair.toString());
      assertTrue(pair.path("steered").asText().startsWith("the dog"), pair.toString());
      assertNotEquals(pair.path("unsteered"), pair.path("steered"));
    }
    JsonNode zero = steer("--latent", 1, "--clamp", 0, "--json").ok().json();
    assertEquals(zero, steer("--latent", 1, "--ablate", "--json").ok().json());
  }

  @Test
  void printsBothSideBySideWithinEightyColumns() {
    String out = steer("--latent", 3, "--strength", 1e4, "--prompt", "the cat").ok().out();
    List<String> lines = out.lines().toList();
    assertEquals("unsteered" + " ".repeat(32) + "steered", lines.get(0));
    assertEquals("", lines.get(1));
    assertTrue(
        lines.get(2).startsWith("the cat") && lines.get(2).substring(41).startsWith("the cat"));
    lines.forEach(line -> assertTrue(line.length() <= 80, line));
  }

  @Test
  void saysWhatIsWrong() {
    assertFails(2, steer("--latent", 1), "--strength=X | --clamp=X | --ablate");
    assertFails(2, steer("--latent", 1, "--clamp", 1, "--ablate"), "mutually exclusive");
    assertFails(2, steer("--latent", 1, "--ablate", "--temperature", 0), "temperature > 0");
    assertFails(1, steer("--latent", 32, "--ablate"), "latent in [0, 31], got 32");
    assertFails(
        1,
        steer("--latent", 1, "--ablate", "--hook", "blocks.1.hook_z"),
        "SITE one of [hook_resid_pre, attn.hook_z, ");
    assertFails(
        1,
        steer("--latent", 1, "--ablate", "--prompt", "the dog ran to the cat . ".repeat(4)),
        "expected tokens of the prompt in [1, 23]");
  }

  private static void assertFails(int code, Ran ran, String part) {
    assertEquals(code, ran.code(), ran.err());
    assertTrue(ran.err().contains(part), ran.err());
  }

  @Test
  void columnsWrapAtSpacesOrInsideOfLongWords() {
    Columns columns = new Columns(22);
    columns.row("ab\ncd ef gh ij kl", "0123456789abc");
    columns.row("x", "");
    assertEquals(
        List.of("ab          0123456789", "cd ef gh    abc", "ij kl", "", "x"),
        columns.toString().lines().toList());
    Columns narrow = new Columns(4);
    narrow.row("😀😀", "");
    assertEquals(List.of("😀", "😀"), narrow.toString().lines().toList());
  }
}
