package io.faithfulsae.study;

import io.faithfulsae.study.CurveResults.Quality;
import io.faithfulsae.study.report.Format;
import java.util.List;
import java.util.stream.Stream;

/** The columns of a table in the report that say how good an SAE, or part of it, is. */
final class QualityColumns {
  private static final List<String> HEADINGS =
      List.of(
          "Explained variance",
          "EV, scalar form",
          "L2",
          "L0",
          "Dead",
          "CE difference (nats)",
          "CE loss recovered",
          "KL (nats)");

  private QualityColumns() {}

  /** The headings of a table with these columns between others. */
  static List<String> headings(List<String> before, List<String> after) {
    return Stream.of(before, HEADINGS, after).flatMap(List::stream).toList();
  }

  static List<String> cells(Quality quality) {
    return List.of(
        Format.percent(quality.explainedVariance()),
        Format.percent(quality.scalarExplainedVariance()),
        Format.number(quality.l2()),
        Format.tenth(quality.l0()),
        Format.percent(quality.deadShare()),
        Format.number(quality.ceDifference()),
        Format.percent(quality.lossRecovered()),
        Format.number(quality.klDivergence()));
  }
}
