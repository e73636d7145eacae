package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.List;

/**
 * What one latent responds to: where it fires most, how often and how strongly, which latents are
 * similar, and which next tokens it promotes.
 *
 * @param latent its number
 * @param rows number of positions read
 * @param density share of positions at which it fires, z ≠ 0
 * @param meanActivation mean |z| where it fires; 0 if it never does
 * @param maxActivation the largest |z|; 0 if it never fires
 * @param logActivations log10 of |z| where it fires, in bins of width 0.1 from −4 to 4
 * @param examples sequences with its largest |z|, largest first, ties in the order of the text
 * @param nearest latents whose decoder directions have the largest cosine with its own
 * @param correlated latents whose z correlates most with its own over the rows (Pearson), among
 *     those that fire together with it at least once
 * @param raised tokens whose logit its decoder direction raises most: the direction, scaled to the
 *     norm {@code maxActivation}, replaces the residual stream at the model's last hook point, and
 *     the logits of a zero vector there are subtracted; the model's own final norm is therefore
 *     applied. Where z is negative (AbsTopK), these are lowered instead. Empty for a transcoder
 *     that writes activations of another width than the model's
 * @param lowered tokens whose logit it lowers most
 */
public record LatentDescription(
    int latent,
    long rows,
    double density,
    double meanActivation,
    double maxActivation,
    Histogram logActivations,
    List<Example> examples,
    List<Other> nearest,
    List<Correlated> correlated,
    List<TokenEffect> raised,
    List<TokenEffect> lowered) {

  /** Copies the lists. */
  public LatentDescription {
    examples = List.copyOf(examples);
    nearest = List.copyOf(nearest);
    correlated = List.copyOf(correlated);
    raised = List.copyOf(raised);
    lowered = List.copyOf(lowered);
  }

  /**
   * A sequence in which the latent fires.
   *
   * @param sequence its number among those of at least two tokens, from 0
   * @param position where |z| is largest, the first on ties
   * @param tokens of the whole sequence
   * @param activations z at each token; 0 at positions that the filter excludes
   */
  public record Example(
      long sequence, int position, List<Integer> tokens, List<Double> activations) {

    /** Copies the lists. */
    public Example {
      tokens = List.copyOf(tokens);
      activations = List.copyOf(activations);
    }

    /** The z at {@link #position}, whose |z| is the largest. */
    public double max() {
      return activations.get(position);
    }
  }

  /**
   * Another latent.
   *
   * @param latent its number
   * @param cosine of the two decoder directions
   */
  public record Other(int latent, double cosine) {}

  /**
   * Another latent that fires with it.
   *
   * @param latent its number
   * @param correlation Pearson correlation of z over all rows
   * @param jaccard positions at which both fire, over positions at which at least one does
   */
  public record Correlated(int latent, double correlation, double jaccard) {}

  /**
   * A token.
   *
   * @param token its id
   * @param logit the change of its logit
   */
  public record TokenEffect(int token, double logit) {}

  /**
   * How much to read and to keep.
   *
   * @param maxSequences maximum number of sequences to read
   * @param examples examples to keep
   * @param others nearest and correlated latents to keep
   * @param tokens raised and lowered tokens to keep
   */
  public record Options(int maxSequences, int examples, int others, int tokens) {

    /** 2,000 sequences, 10 examples, 5 nearest and 5 correlated latents, 10 tokens. */
    public static Options defaults() {
      return new Options(2_000, 10, 5, 10);
    }

    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if one is out of range
     */
    public Options {
      Expected.atLeast("maxSequences", maxSequences, 1, "read at least one sequence");
      Expected.atLeast("examples", examples, 0, "0 keeps none");
      Expected.atLeast("others", others, 0, "0 keeps none");
      Expected.atLeast("tokens", tokens, 0, "0 keeps none");
    }
  }

  /**
   * Random snippets of text in which a latent fires and in which it does not, for scoring an
   * explanation by detection.
   *
   * <p>Sequences are cut into snippets of equal length from the beginning; a shorter remainder is
   * not used. A snippet is firing when z ≠ 0 at one or more of its tokens. Of each kind the
   * requested number is drawn uniformly, or all if there are fewer.
   *
   * @param latent its number
   * @param firing in the order of the text
   * @param silent in the order of the text
   */
  public record Snippets(int latent, List<Snippet> firing, List<Snippet> silent) {

    /** Copies the lists. */
    public Snippets {
      firing = List.copyOf(firing);
      silent = List.copyOf(silent);
    }

    /**
     * A snippet.
     *
     * @param sequence its number among those of at least two tokens, from 0
     * @param start its first position in the sequence
     * @param tokens its tokens
     * @param maxActivation the largest |z| in it
     */
    public record Snippet(long sequence, int start, List<Integer> tokens, double maxActivation) {
      /** Copies the list. */
      public Snippet {
        tokens = List.copyOf(tokens);
      }
    }

    /**
     * What to draw.
     *
     * @param maxSequences maximum number of sequences to read
     * @param length tokens per snippet
     * @param perKind number of firing snippets, and of silent ones, per latent
     * @param seed random seed
     */
    public record Options(int maxSequences, int length, int perKind, long seed) {
      /** 2,000 sequences in snippets of 32 tokens, 10 of each kind, seed 42. */
      public static Options defaults() {
        return new Options(2_000, 32, 10, 42);
      }

      /**
       * Checks the numbers.
       *
       * @throws IllegalArgumentException if one is below 1
       */
      public Options {
        Expected.atLeast("maxSequences", maxSequences, 1, "read at least one sequence");
        Expected.atLeast("length", length, 1, "32 is common");
        Expected.atLeast("perKind", perKind, 1, "draw at least one of each kind");
      }
    }
  }
}
