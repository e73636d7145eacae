package io.faithfulsae.study.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFieldsTest {
  @TempDir Path dir;

  private RunFields of(Activation activation) throws IOException {
    try (Backend backend = Backends.open("cpu");
        Sae sae = Sae.create(new SaeConfig(4, 8, activation, true, Normalization.NONE), backend)) {
      return RunFields.of(sae, List.of(dir));
    }
  }

  @Test
  void activationsThatAreNotTopKAreNamed() throws IOException {
    JsonNode topK = Json.tree(of(new TopK(3)));
    assertEquals(3, topK.path("k").asInt());
    assertFalse(topK.has("activation"), "as files have always been");
    assertEquals("k = 3", of(new TopK(3)).label());

    JsonNode jumpRelu = Json.tree(of(new JumpRelu()));
    assertFalse(jumpRelu.has("k"));
    assertEquals("JumpReLU", jumpRelu.path("activation").asText());
    assertEquals("JumpReLU", of(new JumpRelu()).label());

    JsonNode batch = Json.tree(of(new BatchTopK(2, 0.5f)));
    assertEquals(2, batch.path("k").asInt());
    assertEquals("BatchTopK, k = 2 (threshold)", batch.path("activation").asText());
  }
}
