package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae convert} and {@code sae info}. */
final class ConvertCommandTest {
  @TempDir Path dir;

  @Test
  void anSaeGoesThroughEveryFormatAndComesBack() throws IOException {
    Path first = golden("saelens_topk", "cfg.json", "sae_weights.safetensors");
    Path there = dir.resolve("sparsify");
    Path on = dir.resolve("dl");
    Path back = dir.resolve("back");
    JsonNode result =
        sae("convert", "--json", "--from", first, "--format", "sparsify", "--to", there)
            .ok()
            .json();
    assertTrue(result.path("largestDifference").asDouble() <= 1e-5, result.toString());
    sae("convert", "--from", there, "--format", "dictionary_learning", "--to", on).ok();
    sae("convert", "--from", on, "--format", "SAELENS", "--to", back).ok();
    assertArrayEquals(
        Files.readAllBytes(first.resolve("sae_weights.safetensors")),
        Files.readAllBytes(back.resolve("sae_weights.safetensors")));
    assertFalse(Files.exists(dir.resolve(".back.converting")));
    JsonNode info = sae("info", "--json", on).ok().json();
    assertEquals("dictionary_learning", info.path("writer").asText());
    assertEquals("topk", info.path("activation").asText());
    assertEquals(3, info.path("k").asInt());
    assertEquals("blocks.1.hook_resid_pre", info.path("metadata").path("hook_name").asText());
  }

  @Test
  void whatAFormatCannotExpressIsRefusedAndNothingIsLeft() throws IOException {
    Path gated = golden("saelens_gated", "cfg.json", "sae_weights.safetensors");
    Path to = dir.resolve("to");
    Tiny.Ran ran = sae("convert", "--from", gated, "--format", "sparsify", "--to", to);
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("expected TopK or GroupMax, which sparsify can express"));
    assertFalse(Files.exists(to));
  }

  @Test
  void onlyAnSaesFolderIsReplaced() throws IOException {
    Path from = golden("saelens_gated", "cfg.json", "sae_weights.safetensors");
    Path to = Files.createDirectories(dir.resolve("home"));
    Files.writeString(to.resolve("thesis.txt"), "years of work");
    Tiny.Ran ran = sae("convert", "--from", from, "--format", "saelens", "--to", to, "--overwrite");
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("a folder with nothing but an SAE to replace"), ran.err());
    assertEquals("years of work", Files.readString(to.resolve("thesis.txt")));
    Files.delete(to.resolve("thesis.txt"));
    sae("convert", "--from", from, "--format", "saelens", "--to", to, "--overwrite").ok();
    assertTrue(Files.exists(to.resolve("cfg.json")));
  }

  @Test
  void aFolderThatOnlyLooksUnfinishedIsLeftAlone() throws IOException {
    Path first = golden("saelens_topk", "cfg.json", "sae_weights.safetensors");
    Path notes = Files.createDirectory(dir.resolve(".to.converting")).resolve("notes.txt");
    Files.writeString(notes, "mine");
    Path to = dir.resolve("to");
    Tiny.Ran ran = sae("convert", "--from", first, "--format", "sparsify", "--to", to);
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("expected a folder with nothing but an SAE to replace"));
    assertEquals("mine", Files.readString(notes));
  }

  @Test
  void infoSaysWhatIsKnown() throws IOException {
    Path folder = golden("saelens_skip_transcoder", "cfg.json", "sae_weights.safetensors");
    FloatBuffer logs = FloatBuffer.allocate(12);
    for (int i = 0; i < 12; i++) {
      logs.put(i, i < 3 ? -10 : -1);
    }
    Safetensors.write(
        folder.resolve("sparsity.safetensors"),
        Map.of(),
        List.of(Tensor.ofFloats("sparsity", logs, 12)));
    String text = sae("info", folder).ok().out();
    assertTrue(text.contains("written by   SAELens"), text);
    assertTrue(text.contains("d_in 6, d_out 5, d_sae 12, with a skip connection"), text);
    assertTrue(text.contains("L0 0.9, 3 latents never fired"), text);
    Tiny.Ran none = sae("info", dir.resolve("nowhere"));
    assertEquals(1, none.code());
    assertTrue(none.err().contains("no such file or folder"), none.err());
  }

  private Path golden(String name, String... files) throws IOException {
    for (String file : files) {
      Goldens.copy("arch/" + name + "/" + file, dir);
    }
    return dir.resolve("arch").resolve(name);
  }
}
