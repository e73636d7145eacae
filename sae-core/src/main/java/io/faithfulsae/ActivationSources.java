package io.faithfulsae;

import io.faithfulsae.internal.ArraySource;
import io.faithfulsae.internal.ModelSource;
import io.faithfulsae.internal.ShardSource;
import io.faithfulsae.internal.synthetic.SyntheticSource;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.synthetic.PerFeature;
import io.faithfulsae.synthetic.SyntheticFeatures;
import java.io.IOException;
import java.nio.file.Path;

/**
 * The sources of activations that come with the library; implement {@link ActivationSource} for
 * others.
 */
public final class ActivationSources {
  private ActivationSources() {}

  /**
   * Rows in memory.
   *
   * @param rows <b>Shape</b> {@code [n, dIn]} row-major. Not copied; must not change.
   * @throws IllegalArgumentException if there is no row, or the last one is short
   */
  public static ActivationSource ofArray(float[] rows, int dIn) {
    return new ArraySource(rows, dIn);
  }

  /**
   * Rows on disk: every {@code *.safetensors} file of a folder, in the order of their names, each
   * with a tensor {@code activations} of shape {@code [n, dIn]} (leading axes are joined) in F32,
   * BF16, F16 or F64. The files are mapped, so that they may be larger than memory, and must not
   * change. {@link ShardWriter} writes them.
   *
   * @throws SaeFormatException if a file is damaged, lacks the tensor or has another width, or the
   *     folder's {@link ShardIndex}, where there is one, says that something is missing
   * @throws IOException if the folder has no such file
   */
  public static ActivationSource ofShards(Path dir) throws IOException {
    return new ShardSource(dir);
  }

  /**
   * Activations of a language model on text, computed while they are read.
   *
   * <p>Sequences are run in the same batches always, so that the same position gives the same bits.
   *
   * @param model must stay open as long as the source is used
   * @param filter which positions reach the SAE
   * @param batchSequences sequences a forward pass, at least 1
   * @throws IllegalArgumentException if the model lacks the hook (the message lists those it has)
   */
  public static ActivationSource ofModel(
      LanguageModel model,
      HookPoint hook,
      TokenSource tokens,
      ActivationFilter filter,
      int batchSequences) {
    return new ModelSource(model, hook, tokens, filter, batchSequences);
  }

  /**
   * Synthetic rows with known features, in the manner of toy models of superposition: each row is
   * the sum of a few unit directions, each with a positive coefficient, and noise. Directions are
   * random; {@link Superposition#directions()} has them. {@link #synthetic} has all choices.
   *
   * @param features number of directions
   * @param dIn width of a row
   * @param l0 mean number of directions in a row; each takes part on its own with probability
   *     {@code l0 / features}
   * @param magnitude distribution of the coefficients
   * @param noise standard deviation of Gaussian noise on each element; 0 for none
   * @param rows number of rows
   * @param seed decides everything
   */
  public static Superposition superposition(
      int features, int dIn, double l0, Magnitude magnitude, double noise, long rows, long seed) {
    if (!(l0 > 0 && l0 <= features)) {
      throw new IllegalArgumentException(
          "expected l0 in (0, features = " + features + "], got " + l0 + "; lower it");
    }
    SyntheticFeatures recipe =
        SyntheticFeatures.builder(features, dIn)
            .firing(PerFeature.constant(l0 / features))
            .magnitude(magnitude)
            .noise(noise)
            .seed(seed)
            .build();
    return synthetic(recipe, rows, seed);
  }

  /**
   * Synthetic rows with known features. Sources of one recipe and different seeds have the same
   * features and different rows: such are for training and for evaluation.
   *
   * @param rows number of rows
   * @param seed decides the rows
   * @throws IllegalArgumentException if there are no rows, or the numbers of a feature are out of
   *     range
   */
  public static Superposition synthetic(SyntheticFeatures recipe, long rows, long seed) {
    return new SyntheticSource(recipe, rows, seed);
  }

  /** Distributions of coefficients. */
  public enum Magnitude {
    /** Always 1. */
    ONE,
    /** Uniform in [0, 1). */
    UNIFORM,
    /** |N(0, 1)|. */
    HALF_NORMAL,
    /** Exponential with mean 1. */
    EXPONENTIAL
  }

  /** A source whose true features are known; positions are row numbers. */
  public interface Superposition extends ActivationSource {
    /** The true directions, unit rows: <b>Shape</b> {@code [features, dIn]}, a copy. */
    float[][] directions();

    /**
     * The true coefficients of a row, 0 for a feature that does not fire.
     *
     * @param row its number
     * @param into <b>Shape</b> {@code [features]}. Modified.
     * @throws IllegalArgumentException if there is no such row, or {@code into} has another length
     */
    void coefficients(long row, float[] into);
  }
}
