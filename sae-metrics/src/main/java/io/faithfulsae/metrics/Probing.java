package io.faithfulsae.metrics;

import io.faithfulsae.ActivationFilter;
import java.util.List;
import java.util.Set;

/**
 * Downstream probing: how well a linear classifier tells the classes of a text task from the
 * activations at a hook point, from an SAE's latents, and from its reconstructions.
 *
 * <p>Each text becomes one vector: the rows at its positions, of those that the filter leaves,
 * pooled to their mean, to their maximum, or to the last of them; a text of which nothing is left
 * is the zero vector. {@code baseline} pools x, {@code sae} pools z, {@code recon} pools x̂.
 *
 * <p>{@link Protocol#CLEAN}: vectors are divided by the root mean square norm of the training
 * vectors (one number, so that what is sparse stays sparse and C means the same everywhere); L2
 * regularised logistic regression, one class against the rest, to convergence (liblinear's {@code
 * L2R_LR} with its regularised bias); C is the one of {@link Options#costs} with the best accuracy
 * on a held-out part of the training examples, the smaller at a tie; then fitted on all of them.
 * {@link Protocol#AUTHORS}: one linear layer on the vectors as they are, softmax cross entropy,
 * Adam with lr 1e-3, one epoch in batches of 4, no regularisation.
 *
 * <p><b>Source</b>: FaithfulSAE's downstream evaluation, and spec names as in its {@code
 * probing.json}. Accuracy and macro F1 are scikit-learn's {@code accuracy_score} and {@code
 * f1_score(average="macro", zero_division=0)}.
 *
 * @param task name of the task
 * @param options how it was measured
 * @param trainExamples number of examples fitted on
 * @param testExamples number of examples evaluated on
 * @param trainClassCounts training examples of each class
 * @param testClassCounts test examples of each class
 * @param baseline from x
 * @param sae from z
 * @param recon from x̂
 */
public record Probing(
    String task,
    Options options,
    int trainExamples,
    int testExamples,
    List<Integer> trainClassCounts,
    List<Integer> testClassCounts,
    Scores baseline,
    Scores sae,
    Scores recon) {

  /** Copies the lists. */
  public Probing {
    trainClassCounts = List.copyOf(trainClassCounts);
    testClassCounts = List.copyOf(testClassCounts);
  }

  /** How a probe is fitted. */
  public enum Protocol {
    /** Converged logistic regression, C chosen on held-out training examples. */
    CLEAN,
    /** The authors': one epoch of Adam on a softmax layer. */
    AUTHORS
  }

  /** How the rows of a text become one vector. */
  public enum Pooling {
    /** Their mean. */
    MEAN,
    /** The largest value of each element. */
    MAX,
    /** The last of them. */
    LAST
  }

  /**
   * What a probe reaches on the test examples.
   *
   * @param accuracy share of right answers, with its bootstrap interval over test examples
   * @param macroF1 mean F1 of the classes that occur among labels or answers, with its interval
   * @param cost the chosen C; 0 with {@link Protocol#AUTHORS}
   * @param meanNonZeros mean number of elements other than 0 in a training vector
   */
  public record Scores(
      BootstrapInterval accuracy, BootstrapInterval macroF1, double cost, double meanNonZeros) {}

  /**
   * How to measure.
   *
   * @param protocol how a probe is fitted
   * @param pooling how the rows of a text become one vector
   * @param filter positions that are pooled
   * @param maxExamples at most so many training and so many test examples, after shuffling
   * @param heldOutShare share of the training examples on which C is chosen, in (0, 1)
   * @param costs values of C to choose from, each above 0
   * @param seed of shuffling, of the softmax layer's initial weights and of the bootstrap
   * @param resamples bootstrap resamples
   * @param level coverage of the intervals
   */
  public record Options(
      Protocol protocol,
      Pooling pooling,
      ActivationFilter filter,
      int maxExamples,
      double heldOutShare,
      List<Double> costs,
      long seed,
      int resamples,
      double level) {

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if one is out of range
     */
    public Options {
      costs = costs.stream().sorted().toList();
      require(maxExamples >= 1, "maxExamples >= 1", maxExamples);
      require(heldOutShare > 0 && heldOutShare < 1, "heldOutShare in (0, 1)", heldOutShare);
      require(!costs.isEmpty() && costs.get(0) > 0, "costs above 0", costs);
      require(resamples >= 1, "resamples >= 1", resamples);
      require(level > 0 && level < 1, "level in (0, 1)", level);
    }

    /**
     * The clean protocol: mean over all positions but the first, at most 10,000 examples, a fifth
     * of the training examples for choosing C from 0.1, 1, 10, 100 and 1,000, seed 42, 1,000
     * resamples, 95 %.
     */
    public static Options clean() {
      return new Options(
          Protocol.CLEAN,
          Pooling.MEAN,
          new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY),
          10_000,
          0.2,
          List.of(0.1, 1.0, 10.0, 100.0, 1000.0),
          42,
          1_000,
          0.95);
    }

    /** The authors' protocol: mean over all positions; the rest as {@link #clean}. */
    public static Options authors() {
      Options clean = clean();
      return new Options(
          Protocol.AUTHORS,
          Pooling.MEAN,
          ActivationFilter.NONE,
          clean.maxExamples,
          clean.heldOutShare,
          clean.costs,
          clean.seed,
          clean.resamples,
          clean.level);
    }

    /** The same with another pooling. */
    public Options withPooling(Pooling chosen) {
      return new Options(
          protocol, chosen, filter, maxExamples, heldOutShare, costs, seed, resamples, level);
    }

    /** The same with another filter. */
    public Options withFilter(ActivationFilter chosen) {
      return new Options(
          protocol, pooling, chosen, maxExamples, heldOutShare, costs, seed, resamples, level);
    }

    /** The same with at most so many examples. */
    public Options withMaxExamples(int most) {
      return new Options(
          protocol, pooling, filter, most, heldOutShare, costs, seed, resamples, level);
    }

    /** The same with another seed. */
    public Options withSeed(long chosen) {
      return new Options(
          protocol, pooling, filter, maxExamples, heldOutShare, costs, chosen, resamples, level);
    }

    private static void require(boolean holds, String expected, Object got) {
      if (!holds) {
        throw new IllegalArgumentException(
            "expected " + expected + ", got " + got + "; correct this option");
      }
    }
  }
}
