package io.faithfulsae.metrics.internal;

import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.ModelActivations;
import java.io.IOException;
import java.util.List;
import java.util.stream.Stream;

/** One pass of a model and an SAE over a text, batch by batch. */
final class EncodedText {
  private EncodedText() {}

  /** What is done with a batch. */
  interface Use {
    /**
     * Uses it.
     *
     * @param tokens sequences of one length
     * @param rows their activations that the filter keeps; valid during the call
     * @param latents of those rows; valid during the call
     */
    void accept(int[][] tokens, HookRows rows, Latents latents);
  }

  /** Reads at most so many sequences from the beginning of the text. */
  static void read(Sae sae, ModelActivations activations, int maxSequences, Use use)
      throws IOException {
    SharedEncoding encoding = new SharedEncoding(List.of(sae));
    try (HookRows rows =
            new HookRows(
                HookRows.backendOf(List.of(sae), activations.model()),
                activations.on(),
                activations.filter(),
                Math.max(SequenceBatches.TOKENS, activations.model().contextLength()));
        Stream<int[]> sequences = activations.text().open(0)) {
      SequenceBatches batches =
          new SequenceBatches(sequences.limit(maxSequences).iterator(), SequenceBatches.TOKENS);
      while (batches.hasNext()) {
        int[][] tokens = batches.next();
        rows.read(tokens);
        encoding.encode(rows.kept(), (i, latents) -> use.accept(tokens, rows, latents));
      }
    }
  }
}
