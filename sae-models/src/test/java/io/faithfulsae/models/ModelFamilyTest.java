package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.models.spi.ModelFamily;
import org.junit.jupiter.api.Test;

class ModelFamilyTest {
  @Test
  void findsFamiliesByTheirModelType() {
    assertEquals("gpt2", ModelFamily.named("gpt2").modelType());
    assertTrue(ModelFamily.installed().containsKey("stranger"), "a family from another jar");
  }

  @Test
  void listsTheFamiliesIfThereIsNoneOfThatType() {
    String message =
        assertThrows(IllegalArgumentException.class, () -> ModelFamily.named("gpt3")).getMessage();
    assertTrue(message.startsWith("expected one of the installed families [gemma2, "), message);
    assertTrue(message.contains("], got gpt3; "), message);
  }
}
