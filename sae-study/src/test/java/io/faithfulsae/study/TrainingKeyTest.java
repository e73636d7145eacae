package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.training.TrainingConfig;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A configuration of training is an input of a step, by whose key a later start finds it done. */
class TrainingKeyTest {
  @Test
  void isThatOfTheFirstStudies() {
    TrainingConfig config =
        TrainingConfig.dictionaryLearning(768, 24576).toBuilder().seed(7).build();
    assertEquals(
        "e880d1630e78d349476e0dc96b4b62455a25325dc16e9ab3796012333e6febf2",
        Json.hash(Map.of("train-text", Json.tree(List.of("text", config)))));
  }
}
