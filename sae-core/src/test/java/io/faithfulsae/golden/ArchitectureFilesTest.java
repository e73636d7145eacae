package io.faithfulsae.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.SaeFormats;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every architecture that SAELens, sparsify, dictionary_learning and BatchTopK can write ({@code
 * make_architecture_goldens.py}): loads, computes the same, and can be saved in each format that
 * expresses it. What is saved stays in {@code target/written} for {@code check_written_files.py}.
 */
class ArchitectureFilesTest {
  private static final float TOLERANCE = 1e-5f;

  @TempDir Path dir;
  private final Backend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  static Stream<String> names() throws IOException {
    List<String> names = new ArrayList<>();
    index().fieldNames().forEachRemaining(names::add);
    return names.stream();
  }

  private static JsonNode index() throws IOException {
    Path folder = Files.createTempDirectory("index");
    return new JsonMapper().readTree(Files.readAllBytes(Goldens.copy("arch/index.json", folder)));
  }

  @ParameterizedTest
  @MethodSource("names")
  void computesWhatItsWriterComputes(String name) throws IOException {
    Path folder = copy(name);
    JsonNode entry = index().path(name);
    try (Sae sae = Sae.load(folder.resolve(entry.path("load").asText()), backend)) {
      assertEquals(
          entry.path("activation").asText(), sae.config().activation().getClass().getSimpleName());
      checkSame(sae, folder);
      sae.save(dir.resolve("ours"));
      try (Sae again = Sae.load(dir.resolve("ours"), backend)) {
        assertEquals(sae.config(), again.config());
        assertEquals(sae.metadata().get("hook_name"), again.metadata().get("hook_name"));
        checkSame(again, folder);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void isWrittenInEachFormatThatExpressesIt(String name) throws IOException {
    Path folder = copy(name);
    int written = 0;
    try (Sae sae = Sae.load(folder.resolve(index().path(name).path("load").asText()), backend)) {
      for (SaeFormat format :
          List.of(SaeFormats.SAELENS, SaeFormats.SPARSIFY, SaeFormats.DICTIONARY_LEARNING)) {
        Path into = Path.of("target", "written", format.name().toLowerCase(Locale.ROOT), name);
        try {
          sae.save(into, format);
        } catch (IllegalArgumentException e) {
          assertTrue(e.getMessage().contains("use "), e.getMessage());
          assertTrue(Files.notExists(into.resolve("cfg.json")), into.toString());
          continue;
        }
        written++;
        Files.copy(
            folder.resolve("expected.safetensors"),
            into.resolve("expected.safetensors"),
            java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        try (Sae again = Sae.load(into, backend)) {
          checkSame(again, folder);
          assertEquals(
              sae.config().activation().getClass(), again.config().activation().getClass());
          assertEquals(sae.metadata().get("hook_name"), again.metadata().get("hook_name"));
        }
      }
    }
    assertTrue(written > 0, "no format for " + name);
  }

  @ParameterizedTest
  @ValueSource(strings = {"dictionary_learning_jumprelu", "dictionary_learning_gated"})
  void sizesThatAConfigurationLeavesOutAreThoseOfTheTensors(String name) throws IOException {
    Path folder = copy(name);
    Path config = folder.resolve("config.json");
    String text = Files.readString(config);
    String without = text.replaceAll("\"(activation_dim|dict_size)\": \\d+,\\s*", "");
    assertEquals(2, text.lines().count() - without.lines().count());
    Files.writeString(config, without);
    try (Sae sae = Sae.load(folder, backend)) {
      checkSame(sae, folder);
    }
  }

  @Test
  void aFolderOfOneFormatIsNotMixedWithAnother() throws IOException {
    Path folder = copy("sparsify_topk");
    try (Sae sae = Sae.load(folder.resolve("layers.3"), backend)) {
      Path into = dir.resolve("into");
      sae.save(into, SaeFormats.SPARSIFY);
      IOException e =
          assertThrows(IOException.class, () -> sae.save(into, SaeFormats.DICTIONARY_LEARNING));
      assertTrue(e.getMessage().contains("a folder without an SAE in another format"));
    }
  }

  @Test
  void everyPackageAndArchitectureIsThere() throws IOException {
    Set<String> kinds = new java.util.TreeSet<>();
    index().forEach(entry -> kinds.add(entry.path("activation").asText()));
    assertEquals(
        Set.of("TopK", "BatchTopK", "Relu", "JumpRelu", "Gated", "GroupMax", "AbsTopK"), kinds);
  }

  private void checkSame(Sae sae, Path folder) throws IOException {
    try (Safetensors expected = Safetensors.open(folder.resolve("expected.safetensors"))) {
      float[] rows = Goldens.floats(expected, "x");
      float[] output = Goldens.floats(expected, "output");
      int d = sae.config().dIn();
      int f = sae.config().dSae();
      int n = rows.length / d;
      assertEquals(output.length, n * sae.config().dOut());
      try (ActivationBatch x = ActivationBatch.allocate(backend, n, d);
          ActivationBatch out = ActivationBatch.allocate(backend, n, sae.config().dOut())) {
        x.data().put(rows);
        x.rows(n);
        try (Latents latents = sae.encode(x)) {
          FloatBuffer dense = FloatBuffer.allocate(n * f);
          for (int row = 0; row < n; row++) {
            for (int at = latents.start(row); at < latents.end(row); at++) {
              dense.put(row * f + latents.indices().get(at), latents.values().get(at));
            }
          }
          assertArrayEquals(Goldens.floats(expected, "features"), dense.array(), TOLERANCE);
          sae.decode(latents, x, out);
        }
        float[] decoded = new float[output.length];
        out.data().get(decoded);
        assertArrayEquals(output, decoded, TOLERANCE);
      }
    }
  }

  private Path copy(String name) throws IOException {
    for (JsonNode file : index().path(name).path("files")) {
      Goldens.copy("arch/" + name + "/" + file.asText(), dir);
    }
    return dir.resolve("arch").resolve(name);
  }
}
