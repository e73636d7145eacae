package io.faithfulsae.internal;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import java.util.List;

/** Checks of hook points. */
public final class Hooks {
  private Hooks() {}

  /**
   * Checks that a model has a hook point.
   *
   * @throws IllegalArgumentException that says which ones it has
   */
  public static void require(LanguageModel model, HookPoint hook) {
    List<HookPoint> all = model.hookPoints();
    if (all.contains(hook)) {
      return;
    }
    List<String> sites = all.stream().map(HookPoint::site).distinct().toList();
    throw new IllegalArgumentException(
        "expected a hook point of "
            + model.name()
            + ", blocks.L.SITE with L in [0, "
            + model.layers()
            + ") and SITE one of "
            + sites
            + ", got "
            + hook
            + "; mend: choose one of these");
  }
}
