package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

final class ExpectedTest {
  @Test
  void saysWhatWasExpectedWhatCameAndWhatToDo() {
    assertEquals(
        "expected k in [1, 512], got 600; use a smaller k",
        Expected.message("k in [1, 512]", 600, "use a smaller k"));
  }

  @Test
  void returnsWhatIsInRange() {
    assertEquals(1, Expected.atLeast("rows", 1, 1, "add rows"));
    assertEquals(5_000_000_000L, Expected.atLeast("tokens", 5_000_000_000L, 1, "add text"));
    assertEquals(512, Expected.inRange("k", 512, 1, 512, "use a smaller k"));
  }

  @Test
  void rejectsTheRest() {
    assertEquals(
        "expected rows >= 1, got 0; add rows",
        rejection(() -> Expected.atLeast("rows", 0, 1, "add rows")));
    assertEquals(
        "expected k in [1, 512], got 513; use a smaller k",
        rejection(() -> Expected.inRange("k", 513, 1, 512, "use a smaller k")));
  }

  private static String rejection(Runnable call) {
    return String.valueOf(assertThrows(IllegalArgumentException.class, call::run).getMessage());
  }
}
