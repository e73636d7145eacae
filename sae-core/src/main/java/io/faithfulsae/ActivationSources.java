package io.faithfulsae;

import io.faithfulsae.internal.ArraySource;
import io.faithfulsae.internal.ModelSource;
import io.faithfulsae.internal.Pairs;
import io.faithfulsae.internal.ShardSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Activations from memory, from disk and from a language model; implement {@link ActivationSource}
 * for others, and {@link ActivationSource.Provider} to give them a name. {@link
 * io.faithfulsae.synthetic.SyntheticFeatures} generates activations with known features.
 */
public final class ActivationSources {
  private ActivationSources() {}

  /**
   * Rows in memory.
   *
   * @param rows <b>Shape</b> {@code [n, dIn]} row-major. Not copied; must not change.
   * @throws IllegalArgumentException if there are no rows, or the last one is incomplete
   */
  public static ActivationSource ofArray(float[] rows, int dIn) {
    return new ArraySource(rows, dIn);
  }

  /**
   * Rows in memory, one array each.
   *
   * @param rows <b>Shape</b> {@code [n, dIn]}. Copied, so that they may change later.
   * @throws IllegalArgumentException if there are no rows, they differ in length, or they have more
   *     than 2³¹ − 1 values together
   */
  public static ActivationSource ofRows(float[][] rows) {
    if (rows.length == 0 || rows[0].length == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one row of at least one value",
              rows.length + " rows" + (rows.length == 0 ? "" : " of length 0"),
              "check what the rows are read from"));
    }
    int dIn = rows[0].length;
    long values = (long) rows.length * dIn;
    if (values > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          Expected.message(
              "at most 2^31 - 1 values",
              "[" + rows.length + ", " + dIn + "]",
              "write them to disk with ShardWriter"));
    }
    float[] all = new float[(int) values];
    for (int i = 0; i < rows.length; i++) {
      if (rows[i].length != dIn) {
        throw new IllegalArgumentException(
            Expected.message(
                "rows of one length, " + dIn + " as row 0 has",
                rows[i].length + " in row " + i,
                "use activations of one hook point"));
      }
      System.arraycopy(rows[i], 0, all, i * dIn, dIn);
    }
    return new ArraySource(all, dIn);
  }

  /** The same for a list; see {@link #ofRows(float[][])}. */
  public static ActivationSource ofRows(List<float[]> rows) {
    return ofRows(rows.toArray(new float[0][]));
  }

  /**
   * Rows on disk: every {@code *.safetensors} file of a folder, in order of name, each with a
   * tensor {@code activations} of shape {@code [n, dIn]} (leading axes are flattened) in F32, BF16,
   * F16 or F64. The files are memory-mapped: they may be larger than memory and must not change.
   * {@link ShardWriter} writes them.
   *
   * @throws SaeFormatException if a file is damaged, lacks the tensor or has another width, or data
   *     listed in the folder's {@link ShardIndex} (if any) is missing
   * @throws IOException if the folder has no such file
   */
  public static ActivationSource ofShards(Path dir) throws IOException {
    return new ShardSource(dir);
  }

  /**
   * Activations of a language model on text, computed as they are read.
   *
   * <p>Sequences are always batched the same way, so that the same position gives the same bits.
   *
   * @param model must stay open while the source is in use
   * @param filter which positions reach the SAE
   * @param batchSequences sequences per forward pass, at least 1
   * @throws IllegalArgumentException if the model lacks the hook (the message lists the available
   *     ones)
   */
  public static ActivationSource ofModel(
      LanguageModel model,
      HookPoint hook,
      TokenSource tokens,
      ActivationFilter filter,
      int batchSequences) {
    return new ModelSource(model, List.of(hook), tokens, filter, batchSequences);
  }

  /**
   * Activations at two hook points of one pass, for a transcoder.
   *
   * @param model must stay open while the source is in use
   * @param hook what the transcoder reads; the filter's norms are taken here
   * @param target what it should write
   * @param filter which positions reach the transcoder
   * @param batchSequences sequences per forward pass, at least 1
   * @throws IllegalArgumentException if the model lacks a hook, or both are one
   */
  public static PairedSource ofModel(
      LanguageModel model,
      HookPoint hook,
      HookPoint target,
      TokenSource tokens,
      ActivationFilter filter,
      int batchSequences) {
    if (hook.equals(target)) {
      throw new IllegalArgumentException(
          Expected.message("two hook points", hook + " twice", "train an SAE on one"));
    }
    return new Pairs(
        new ModelSource(model, List.of(hook, target), tokens, filter, batchSequences),
        model.width(target));
  }

  /**
   * Rows of any source as what a transcoder reads and should write.
   *
   * @param rows each has the input first, then the target
   * @param dOut width of the target
   * @throws IllegalArgumentException if nothing is left to read or to write
   */
  public static PairedSource pairs(ActivationSource rows, int dOut) {
    return new Pairs(rows, dOut);
  }

  /**
   * The provider of a name, from any jar on the class path.
   *
   * @throws IllegalArgumentException if there is none; the message lists all names
   * @throws IllegalStateException if one cannot be loaded, or two have the same name; the message
   *     names the classes and jars
   */
  public static ActivationSource.Provider provider(String name) {
    return Services.named(
        ActivationSource.Provider.class,
        "sources",
        List.of(),
        ActivationSource.Provider::name,
        name);
  }

  /**
   * Reads rows into a batch that is not full, and requires what {@link ActivationReader#read}
   * promises: whoever waits for a reader that adds nothing waits for ever.
   *
   * @param into rows are appended to it. Modified.
   * @param origins the new rows' origins are appended to it; null to ask for none
   * @return the number of rows added, at least 1, or -1 at the end of the source
   * @throws IOException if it added no rows, or not as many as it says
   */
  public static int read(
      ActivationReader reader, ActivationBatch into, @Nullable RowOrigins origins)
      throws IOException {
    int before = into.rows();
    int count = origins == null ? reader.read(into) : reader.read(into, origins);
    int added = into.rows() - before;
    if (count == 0 || added != Math.max(0, count)) {
      throw new IOException(
          Expected.message(
              "at least one row, or -1 at the end, and as many in the batch",
              count + " and " + added + " in the batch, from " + reader.getClass().getName(),
              "correct its read method"));
    }
    return count;
  }
}
