package io.faithfulsae.study;

import io.faithfulsae.study.Plots.Drawn;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/**
 * One thing that a study measures, or does first in order to measure: its steps, what they cost,
 * how they are done, and its part of the report. {@link Measurements} lists them; the plan and the
 * run are loops over the same units, so they cannot disagree.
 *
 * <p>Implementations have no state: what they find goes into {@link Findings}.
 */
interface Measurement {
  /** What its steps are called, before the data set or task; also the name of a failure. */
  String name();

  /**
   * Its steps, from the settings alone: they are needed before anything is done. None if the
   * settings turn it off.
   *
   * @throws IOException if files that the settings name cannot be read
   */
  List<Unit> units(StudyContext on) throws IOException;

  /** Writes its section of the report, if there are results for it. */
  default void section(ModelResults results, Html page) {}

  /** Draws its plots, by file name, if there are results for them. */
  default Map<String, Drawn> plots(ModelResults results, Plots plots) {
    return Map.of();
  }
}
