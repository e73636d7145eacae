package io.faithfulsae.study.compare;

import io.faithfulsae.study.compare.Comparison.Measure;
import io.faithfulsae.study.compare.Comparison.Pair;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A comparison as text. */
public final class ComparisonTable {
  /** With fewer cells, the sign test cannot give p < 0.05. */
  private static final int ENOUGH = 6;

  private ComparisonTable() {}

  /** Averages, averages by model, and pairs of every measure. */
  public static String text(Comparison comparison) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%d models%s: %s%n",
            comparison.models().size(),
            comparison.tasks().equals(List.of(Run.NO_TASK))
                ? ""
                : " × "
                    + comparison.tasks().size()
                    + " tasks ("
                    + String.join(", ", comparison.tasks())
                    + ")",
            String.join(", ", comparison.models())));
    comparison.leftOut().forEach(line -> text.append("left out: ").append(line).append('\n'));
    for (Measure measure : comparison.measures()) {
      text.append('\n').append(measure.name());
      text.append(measure.higherIsBetter() ? " (higher is better)\n" : " (lower is better)\n");
      List<List<String>> rows = new ArrayList<>();
      List<String> head = new ArrayList<>(List.of("model"));
      head.addAll(comparison.dataSets());
      rows.add(head);
      measure.byModel().forEach((model, values) -> rows.add(row(model, comparison, values)));
      rows.add(row("average", comparison, measure.averages()));
      append(text, rows);
      List<List<String>> pairs = new ArrayList<>();
      pairs.add(
          List.of(
              "pair",
              "difference",
              "95 % interval",
              "wins",
              "p bootstrap",
              "Holm",
              "p sign",
              "Holm"));
      measure.pairs().forEach(pair -> pairs.add(row(pair)));
      append(text, pairs);
      int cells = measure.pairs().get(0).cells();
      if (cells < ENOUGH) {
        text.append(
            String.format(
                Locale.ROOT,
                "  %s: too few for these tests (p of the sign test is at least %.3g)%n",
                cells == 1 ? "one cell" : cells + " cells",
                Math.min(1, 2 * Math.pow(0.5, cells))));
      }
    }
    return text.toString().stripTrailing();
  }

  private static List<String> row(String name, Comparison comparison, Map<String, Double> values) {
    List<String> row = new ArrayList<>(List.of(name));
    comparison
        .dataSets()
        .forEach(set -> row.add(String.format(Locale.ROOT, "%.4f", values.get(set))));
    return row;
  }

  private static List<String> row(Pair pair) {
    return List.of(
        pair.first() + " − " + pair.second(),
        String.format(Locale.ROOT, "%+.4f", pair.difference().estimate()),
        String.format(
            Locale.ROOT, "[%+.4f, %+.4f]", pair.difference().low(), pair.difference().high()),
        pair.wins() + " of " + pair.cells(),
        String.format(Locale.ROOT, "%.3f", pair.bootstrapP()),
        String.format(Locale.ROOT, "%.3f", pair.bootstrapPHolm()),
        String.format(Locale.ROOT, "%.3f", pair.signP()),
        String.format(Locale.ROOT, "%.3f", pair.signPHolm()));
  }

  private static void append(StringBuilder text, List<List<String>> rows) {
    int columns = rows.get(0).size();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder();
      for (int column = 0; column < columns; column++) {
        int at = column;
        int width = rows.stream().mapToInt(r -> r.get(at).length()).max().orElse(0);
        String cell = row.get(column);
        String pad = " ".repeat(width - cell.length());
        line.append("  ").append(column == 0 ? cell + pad : pad + cell);
      }
      text.append(line.toString().stripTrailing()).append('\n');
    }
  }
}
