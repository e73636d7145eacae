package io.faithfulsae.metrics;

import io.faithfulsae.ActivationFilter;
import java.util.List;

/**
 * Snippets of text in which a latent fires and in which it does not, drawn at random, for judging
 * an explanation by detection.
 *
 * <p>Sequences are cut into snippets of equal length from their beginning, what is left over at the
 * end is not used; a snippet is firing when z &gt; 0 at one of its tokens at least. From all of one
 * kind as many as asked for are drawn without preference, or all if there are fewer.
 *
 * @param latent its number
 * @param firing in the order of the text
 * @param silent in the order of the text
 */
public record LatentSnippets(int latent, List<Snippet> firing, List<Snippet> silent) {

  /** Copies the lists. */
  public LatentSnippets {
    firing = List.copyOf(firing);
    silent = List.copyOf(silent);
  }

  /**
   * A snippet.
   *
   * @param sequence its number among those of at least two tokens, from 0
   * @param start its first position in the sequence
   * @param tokens its tokens
   * @param maxActivation the largest z in it
   */
  public record Snippet(long sequence, int start, List<Integer> tokens, double maxActivation) {
    /** Copies the list. */
    public Snippet {
      tokens = List.copyOf(tokens);
    }
  }

  /**
   * What is drawn.
   *
   * @param filter positions that are looked at
   * @param maxSequences at most so many sequences of the text
   * @param length tokens a snippet
   * @param perKind firing ones, and silent ones, of each latent
   * @param seed of the drawing
   */
  public record Options(
      ActivationFilter filter, int maxSequences, int length, int perKind, long seed) {
    /**
     * Checks the numbers.
     *
     * @throws IllegalArgumentException if one is below 1
     */
    public Options {
      if (maxSequences < 1 || length < 1 || perKind < 1) {
        throw new IllegalArgumentException(
            "expected maxSequences, length and perKind >= 1, got %d, %d, %d; mend: correct them"
                .formatted(maxSequences, length, perKind));
      }
    }
  }
}
