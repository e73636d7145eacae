package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.ModelActivations;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** One pass of a model and an SAE over a text that follows some of the SAE's latents. */
final class EncodedText {
  private final int[] chosenIndex; // index in the chosen latents of each latent, or -1
  private final float[] zOfRow; // [chosen]
  private final Visitor visitor;
  private long sequences;

  private EncodedText(Sae sae, List<Integer> chosen, Visitor visitor) {
    LatentDirections.requireLatents(sae, chosen);
    this.chosenIndex = new int[sae.config().dSae()];
    this.zOfRow = new float[chosen.size()];
    this.visitor = visitor;
    Arrays.fill(chosenIndex, -1);
    for (int c = 0; c < chosen.size(); c++) {
      chosenIndex[chosen.get(c)] = c;
    }
  }

  /** Sees the rows and sequences of a text, in order. Arguments are valid during the call. */
  interface Visitor {
    /**
     * Called for each row that the filter keeps. Its latents and their z are the elements from
     * {@code from} to {@code to} (exclusive) of two buffers; those with z = 0 do not fire. Only an
     * AbsTopK SAE has z &lt; 0.
     *
     * @param chosenZ z of each chosen latent
     */
    default void row(IntBuffer latents, FloatBuffer z, int from, int to, float[] chosenZ) {}

    /**
     * Called at the end of each sequence.
     *
     * @param number index of the sequence among those of at least two tokens, from 0
     * @param chosenZ <b>Shape</b> {@code [chosen, tokens]}: z of each chosen latent at each token;
     *     0 at positions that the filter excludes
     */
    void sequence(long number, int[] tokens, float[][] chosenZ);
  }

  /**
   * Reads at most {@code maxSequences} sequences from the beginning of the text.
   *
   * @throws IllegalArgumentException if the SAE has no such latent, or one is listed twice
   */
  static void read(
      Sae sae,
      List<Integer> chosen,
      ModelActivations activations,
      int maxSequences,
      Visitor visitor)
      throws IOException {
    EncodedText text = new EncodedText(sae, chosen, visitor);
    try (SharedEncoding encoding = new SharedEncoding(List.of(sae));
        HookRows rows =
            new HookRows(
                HookRows.backendOf(List.of(sae), activations.on()),
                activations.on(),
                activations.filter(),
                Math.max(SequenceBatches.TOKENS, activations.model().contextLength()));
        Stream<int[]> sequences = activations.text().open(0)) {
      SequenceBatches batches =
          new SequenceBatches(sequences.limit(maxSequences).iterator(), SequenceBatches.TOKENS);
      while (batches.hasNext()) {
        int[][] tokens = batches.next();
        rows.read(tokens);
        encoding.encode(rows.kept(), (i, latents) -> text.visit(tokens, rows, latents));
      }
    }
  }

  private void visit(int[][] tokens, HookRows rows, Latents latents) {
    int length = tokens[0].length;
    IntBuffer indices = latents.indices();
    FloatBuffer values = latents.values();
    int[] starts = latents.starts();
    float[][] chosenZ = new float[zOfRow.length][length];
    int row = 0;
    for (int s = 0; s < tokens.length; s++) {
      Arrays.stream(chosenZ).forEach(z -> Arrays.fill(z, 0));
      int end = rows.end(row, s, length);
      for (; row < end; row++) {
        visitRow(indices, values, starts[row], starts[row + 1]);
        int position = rows.position(row) % length;
        for (int c = 0; c < zOfRow.length; c++) {
          chosenZ[c][position] = zOfRow[c];
        }
      }
      visitor.sequence(sequences++, tokens[s], chosenZ);
    }
  }

  private void visitRow(IntBuffer indices, FloatBuffer values, int from, int to) {
    Arrays.fill(zOfRow, 0);
    for (int i = from; i < to; i++) {
      float z = values.get(i);
      if (z != 0 && chosenIndex[indices.get(i)] >= 0) {
        zOfRow[chosenIndex[indices.get(i)]] = z;
      }
    }
    visitor.row(indices, values, from, to, zOfRow);
  }

  /** The exception for a text of which the filter keeps no position. */
  static IllegalArgumentException nothingKept(TokenSource text) {
    return new IllegalArgumentException(
        Expected.message(
            "text with positions that the filter keeps",
            "none in " + text.description(),
            "provide more text or use a less strict filter"));
  }
}
