package io.faithfulsae.study.provenance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class TrainedOnTest {
  @Test
  void whatIsWrittenIsRead() {
    ActivationFilter filter = new ActivationFilter(2, Set.of(0, 17), 1e3);
    Map<String, String> written =
        new TrainedOn("gpt2", HookPoint.residPre(8), "web", 128, filter).metadata();
    assertEquals(filter, TrainedOn.filterOf(written));
    assertEquals(128, TrainedOn.contextOf(written, 64));
    assertEquals(64, TrainedOn.contextOf(Map.of(), 64));
  }

  @Test
  void aFieldThatIsNoNumberIsNamed() {
    assertMessage(
        "cfg.json of the SAE: context_size: expected a positive integer, got long; correct it",
        () -> TrainedOn.contextOf(Map.of("context_size", "long"), 64));
    assertMessage(
        "cfg.json of the SAE: context_size: expected a positive integer, got 0; correct it",
        () -> TrainedOn.contextOf(Map.of("context_size", "0"), 64));
    assertMessage(
        "cfg.json of the SAE: filter_skip_positions: expected a number of positions, got ;"
            + " correct it",
        () -> TrainedOn.filterOf(Map.of("filter_skip_positions", "")));
    assertMessage(
        "cfg.json of the SAE: filter_excluded_token: expected tokens, as 0,17, got 1,x;"
            + " correct it",
        () -> TrainedOn.filterOf(Map.of("filter_excluded_token", "1,x")));
    assertMessage(
        "cfg.json of the SAE: filter_max_norm: expected a number, got big; correct it",
        () -> TrainedOn.filterOf(Map.of("filter_max_norm", "big")));
  }

  private static void assertMessage(String message, Runnable call) {
    assertEquals(message, assertThrows(IllegalArgumentException.class, call::run).getMessage());
  }
}
