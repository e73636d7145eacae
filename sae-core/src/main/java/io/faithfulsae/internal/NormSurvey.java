package io.faithfulsae.internal;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Measures the norms of a model's activations by position. */
public final class NormSurvey {
  private double[] kept = new double[1024];
  private int keptCount;
  private final List<Double> sums = new ArrayList<>();
  private final List<Integer> counts = new ArrayList<>();

  /** Which rows to keep. */
  public interface Rule {
    /** Whether a row is kept. */
    boolean keeps(int position, int token, double norm);
  }

  /**
   * The result.
   *
   * @param kept number of rows kept
   * @param median of the norms of those rows
   * @param meanByPosition mean norm at each position, over all rows
   */
  public record Result(int kept, double median, List<Double> meanByPosition) {}

  private NormSurvey() {}

  /** Measures the first sequences of a text. */
  public static Result run(
      Rule rule,
      LanguageModel model,
      HookPoint hook,
      TokenSource tokens,
      int batchSequences,
      int sequences)
      throws IOException {
    NormSurvey survey = new NormSurvey();
    try (ModelBatches batches = new ModelBatches(model, List.of(hook), tokens, batchSequences, 0)) {
      for (int seen = 0; seen < sequences && batches.next(); seen += batchSequences) {
        int count = Math.min(batches.tokens().length, sequences - seen);
        for (int s = 0; s < count; s++) {
          int[] sequence = batches.tokens()[s];
          for (int p = 0; p < sequence.length; p++) {
            survey.add(p, batches.norm(s, p), rule, sequence[p]);
          }
        }
      }
    }
    return survey.result(tokens);
  }

  private void add(int position, double norm, Rule rule, int token) {
    if (position == sums.size()) {
      sums.add(0.0);
      counts.add(0);
    }
    sums.set(position, sums.get(position) + norm);
    counts.set(position, counts.get(position) + 1);
    if (rule.keeps(position, token, norm)) {
      if (keptCount == kept.length) {
        kept = Arrays.copyOf(kept, 2 * keptCount);
      }
      kept[keptCount++] = norm;
    }
  }

  private Result result(TokenSource tokens) {
    if (keptCount == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "rows that the filter keeps in " + tokens.description(),
              "none",
              "use a less strict filter"));
    }
    double[] sorted = Arrays.copyOf(kept, keptCount);
    Arrays.sort(sorted);
    double median = (sorted[(keptCount - 1) / 2] + sorted[keptCount / 2]) / 2;
    List<Double> means = new ArrayList<>();
    for (int p = 0; p < sums.size(); p++) {
      means.add(sums.get(p) / counts.get(p));
    }
    return new Result(keptCount, median, means);
  }
}
