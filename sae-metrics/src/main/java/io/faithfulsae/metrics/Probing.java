package io.faithfulsae.metrics;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.io.Expected;
import java.util.List;
import java.util.Set;

/**
 * Downstream probing: how well a linear classifier tells the classes of a text task from the
 * activations at a hook point, from an SAE's latents, and from its reconstructions.
 *
 * <p>Each text becomes one vector: the rows that the filter keeps, pooled by mean, by maximum, or
 * by taking the last one; a text of which the filter keeps nothing becomes the zero vector. {@code
 * baseline} pools x, {@code sae} pools z, {@code recon} pools x̂.
 *
 * <p>{@link Protocol#CLEAN}: vectors are divided by the root mean square norm of the training
 * vectors (a single number, so that sparse vectors stay sparse and C has the same meaning
 * everywhere); L2-regularized logistic regression, one-vs-rest, run to convergence (liblinear's
 * {@code L2R_LR} with its regularized bias); C is the value in {@link Options#costs} with the best
 * accuracy on a held-out part of the training examples, the smaller one on ties; the final fit uses
 * all of them. {@link Protocol#AUTHORS}: one linear layer on the unscaled vectors, softmax cross
 * entropy, Adam with lr 1e-3, one epoch in batches of 4, no regularization.
 *
 * <p><b>Source</b>: FaithfulSAE's downstream evaluation; {@code baseline}, {@code sae} and {@code
 * recon} are the names in its {@code probing.json}. Accuracy and macro F1 are scikit-learn's {@code
 * accuracy_score} and {@code f1_score(average="macro", zero_division=0)}.
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
   * How a probe scores on the test examples.
   *
   * @param accuracy share of correct predictions, with its bootstrap interval over test examples
   * @param macroF1 mean F1 of the classes that occur among labels or predictions, with its interval
   * @param cost the chosen C; 0 with {@link Protocol#AUTHORS}
   * @param meanNonZeros mean number of nonzero elements in a training vector
   */
  public record Scores(
      BootstrapInterval accuracy, BootstrapInterval macroF1, double cost, double meanNonZeros) {}

  /**
   * How to measure.
   *
   * @param protocol how a probe is fitted
   * @param pooling how the rows of a text become one vector
   * @param filter selects the positions to pool
   * @param maxExamples maximum number of training examples, and of test examples, after shuffling
   * @param heldOutShare share of the training examples on which C is chosen, in (0, 1)
   * @param costs values of C to choose from, each above 0
   * @param seed random seed of the shuffling, the softmax layer's initial weights and the bootstrap
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
     * The clean protocol: mean over all positions except the first, at most 10,000 examples, a
     * fifth of the training examples held out for choosing C from 0.1, 1, 10, 100 and 1,000, seed
     * 42, 1,000 resamples, 95 %.
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

    /** The authors' protocol: mean over all positions; otherwise like {@link #clean}. */
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

    /** Returns a copy with another pooling. */
    public Options withPooling(Pooling chosen) {
      return new Options(
          protocol, chosen, filter, maxExamples, heldOutShare, costs, seed, resamples, level);
    }

    /** Returns a copy with another filter. */
    public Options withFilter(ActivationFilter chosen) {
      return new Options(
          protocol, pooling, chosen, maxExamples, heldOutShare, costs, seed, resamples, level);
    }

    /** Returns a copy with another maximum number of examples. */
    public Options withMaxExamples(int max) {
      return new Options(
          protocol, pooling, filter, max, heldOutShare, costs, seed, resamples, level);
    }

    /** Returns a copy with another random seed. */
    public Options withSeed(long chosen) {
      return new Options(
          protocol, pooling, filter, maxExamples, heldOutShare, costs, chosen, resamples, level);
    }

    private static void require(boolean holds, String expected, Object got) {
      if (!holds) {
        throw new IllegalArgumentException(Expected.message(expected, got, "correct this option"));
      }
    }
  }
}
