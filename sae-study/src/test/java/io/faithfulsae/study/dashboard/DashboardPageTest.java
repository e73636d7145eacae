package io.faithfulsae.study.dashboard;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.metrics.Histogram;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Example;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class DashboardPageTest {
  /** An AbsTopK SAE's latents may be negative: coloured by size, with their sign in the text. */
  @Test
  void negativeActivationsAreMarkedToo() throws IOException {
    LatentDescription latent =
        new LatentDescription(
            7,
            100,
            0.02,
            3,
            4,
            new Histogram(-4, 4, List.of(1L, 1L)),
            List.of(new Example(0, 1, List.of(5, 6, 7), List.of(2.0, -4.0, 0.0))),
            List.of(),
            List.of(),
            List.of(),
            List.of());
    Dashboard.Shown shown =
        new Dashboard.Shown(
            latent,
            List.of(List.of("up", "down", "silent")),
            List.of(),
            List.of(),
            null,
            null,
            null);
    String page =
        DashboardPage.render(new Dashboard("sae", "model", "hook", "text", null, List.of(shown)));
    assertTrue(page.contains("<mark style=\"--z:0.46\" title=\"2"), page);
    assertTrue(page.contains("<mark style=\"--z:0.80\" title=\"−4"), page);
    assertTrue(page.contains(">down</mark>silent"), page);
  }
}
