package io.faithfulsae.models.explain;

import io.faithfulsae.io.Expected;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * The quality of an explanation, measured by detection: a detector that sees only the explanation
 * says in which snippets the latent fires.
 *
 * <p>Metrics are over the answered snippets; a ratio with denominator 0 is 0. <b>Source</b>: Paulo
 * et al. 2024, arXiv 2410.13928 (detection scoring); accuracy, balanced accuracy, precision, recall
 * and F1 as in scikit-learn.
 *
 * @param truePositives firing snippets labeled as firing
 * @param falsePositives silent snippets labeled as firing
 * @param trueNegatives silent snippets labeled as silent
 * @param falseNegatives firing snippets labeled as silent
 * @param unanswered snippets without a valid answer
 */
public record DetectionScore(
    int truePositives, int falsePositives, int trueNegatives, int falseNegatives, int unanswered) {

  /** A snippet and whether the latent fires in it. */
  private record Question(String snippet, boolean fires) {}

  /**
   * Asks about the snippets in random order and in groups, so that their order reveals nothing.
   *
   * @param firing snippets in which the latent fires
   * @param silent snippets in which it does not
   * @param perQuestion snippets per question, at least 1
   * @param seed random seed of the order
   * @throws IllegalArgumentException if {@code perQuestion} is below 1
   */
  public static DetectionScore of(
      Detector detector,
      String explanation,
      List<String> firing,
      List<String> silent,
      int perQuestion,
      long seed)
      throws IOException, InterruptedException {
    Expected.atLeast("snippets per question", perQuestion, 1, "5 is usual");
    List<Question> questions = new ArrayList<>();
    firing.forEach(snippet -> questions.add(new Question(snippet, true)));
    silent.forEach(snippet -> questions.add(new Question(snippet, false)));
    new Rng(Purpose.QUESTIONS, seed).shuffle(questions);
    int[] counts = new int[4]; // index: 2 · fires + answer
    int unanswered = 0;
    for (int first = 0; first < questions.size(); first += perQuestion) {
      List<Question> some =
          questions.subList(first, Math.min(first + perQuestion, questions.size()));
      List<Boolean> said =
          detector.detect(explanation, some.stream().map(Question::snippet).toList());
      if (said.size() != some.size()) {
        unanswered += some.size();
        continue;
      }
      for (int i = 0; i < some.size(); i++) {
        counts[(some.get(i).fires() ? 2 : 0) + (said.get(i) ? 1 : 0)]++;
      }
    }
    return new DetectionScore(counts[3], counts[1], counts[0], counts[2], unanswered);
  }

  /** (TP + TN) / total, in [0, 1]. */
  public double accuracy() {
    return share(
        truePositives + trueNegatives,
        truePositives + trueNegatives + falsePositives + falseNegatives);
  }

  /** The mean of the shares of firing and of silent snippets labeled correctly, in [0, 1]. */
  public double balancedAccuracy() {
    return (recall() + share(trueNegatives, trueNegatives + falsePositives)) / 2;
  }

  /** TP / (TP + FP), in [0, 1]. */
  public double precision() {
    return share(truePositives, truePositives + falsePositives);
  }

  /** TP / (TP + FN), in [0, 1]. */
  public double recall() {
    return share(truePositives, truePositives + falseNegatives);
  }

  /** 2 TP / (2 TP + FP + FN), in [0, 1]. */
  public double f1() {
    return share(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives);
  }

  private static double share(int part, int whole) {
    return whole == 0 ? 0 : (double) part / whole;
  }
}
