package io.faithfulsae;

import io.faithfulsae.internal.ArraySource;
import io.faithfulsae.internal.ModelSource;
import io.faithfulsae.internal.ShardSource;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Path;

/**
 * Activations from memory, from disk and from a language model; implement {@link ActivationSource}
 * for others. Those with known features are made by {@link
 * io.faithfulsae.synthetic.SyntheticFeatures}.
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
}
