package io.faithfulsae.internal;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The iteration order of a caller's map, which may differ between processes, does not affect files.
 */
class WrittenOrderTest {
  @TempDir Path dir;

  private static Map<String, String> metadata(boolean reversed) {
    Map<String, String> map = new LinkedHashMap<>();
    for (int i = 0; i < 20; i++) {
      int key = reversed ? 19 - i : i;
      map.put("key" + key, "value" + key);
    }
    return map;
  }

  @Test
  void metadataOfSafetensors() throws IOException {
    for (boolean reversed : new boolean[] {false, true}) {
      Safetensors.write(dir.resolve("x" + reversed), metadata(reversed), List.of());
    }
    assertArrayEquals(
        Files.readAllBytes(dir.resolve("xfalse")), Files.readAllBytes(dir.resolve("xtrue")));
  }

  @Test
  void metadataOfSaes() throws IOException {
    try (Backend backend = new ReferenceBackend()) {
      for (boolean reversed : new boolean[] {false, true}) {
        try (Sae sae = Sae.create(SaeConfig.topK(2, 4, 1), metadata(reversed), backend)) {
          sae.save(dir.resolve("sae" + reversed));
        }
      }
    }
    assertEquals(
        Files.readString(dir.resolve("saefalse/cfg.json")),
        Files.readString(dir.resolve("saetrue/cfg.json")));
  }

  @Test
  void tokensOfAFilter() {
    Set<Integer> falling = new LinkedHashSet<>(List.of(900, 90, 17, 9, 1));
    ActivationFilter filter = new ActivationFilter(1, falling, 10);
    assertEquals(List.of(1, 9, 17, 90, 900), List.copyOf(filter.excludedTokens()));
    assertEquals(filter, new ActivationFilter(1, Set.of(1, 9, 17, 90, 900), 10));
  }
}
