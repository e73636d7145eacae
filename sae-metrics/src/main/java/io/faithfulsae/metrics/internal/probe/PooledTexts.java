package io.faithfulsae.metrics.internal.probe;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.metrics.Probing.Options;
import io.faithfulsae.metrics.internal.HookRows;
import io.faithfulsae.metrics.internal.SequenceBatches;
import io.faithfulsae.metrics.internal.SharedEncoding;
import io.faithfulsae.spi.Backend;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;

/**
 * Texts as vectors, in the order of the texts.
 *
 * @param baseline pooled x
 * @param latents pooled z of each SAE
 * @param reconstructions pooled x̂ of each SAE: of a transcoder, what it predicts
 */
record PooledTexts(
    List<FeatureRow> baseline,
    List<List<FeatureRow>> latents,
    List<List<FeatureRow>> reconstructions) {

  /** Runs the model on all texts, batched by length so that nothing needs padding. */
  static PooledTexts of(
      List<Sae> saes, HookedModel on, List<Example> texts, Options options, LongConsumer onRead) {
    FeatureRow[][] rows = new FeatureRow[1 + 2 * saes.size()][texts.size()];
    List<Integer> byLength =
        IntStream.range(0, texts.size())
            .boxed()
            .sorted(Comparator.comparingInt(i -> texts.get(i).tokens().length))
            .toList();
    LanguageModel model = on.model();
    int longest = texts.get(byLength.get(byLength.size() - 1)).tokens().length;
    if (longest > model.contextLength()) {
      throw new IllegalArgumentException(
          Expected.message(
              "texts of at most %d tokens, the context length of %s"
                  .formatted(model.contextLength(), model.name()),
              "one of " + longest,
              "truncate the texts"));
    }
    Backend backend = HookRows.backendOf(saes, on);
    try (Reader reader =
        new Reader(
            saes,
            new HookRows(backend, on, options.filter(), Math.max(SequenceBatches.TOKENS, longest)),
            options,
            rows)) {
      int from = 0;
      while (from < byLength.size()) {
        int length = texts.get(byLength.get(from)).tokens().length;
        int max = Math.max(1, SequenceBatches.TOKENS / length);
        int to = from + 1;
        while (to < byLength.size()
            && to - from < max
            && texts.get(byLength.get(to)).tokens().length == length) {
          to++;
        }
        reader.read(texts, byLength.subList(from, to), length);
        from = to;
        onRead.accept(from);
      }
    }
    List<List<FeatureRow>> all = Arrays.stream(rows).map(List::of).toList();
    return new PooledTexts(
        all.get(0), all.subList(1, 1 + saes.size()), all.subList(1 + saes.size(), all.size()));
  }

  /** Pools batches and stores each text's vector at the text's index. */
  private static final class Reader implements AutoCloseable {
    private final List<Sae> saes;
    private final SharedEncoding encoding;
    private final HookRows hookRows;
    private final FeatureRow[][] rows;
    private final Pool baseline;
    private final List<Pool> sparse = new ArrayList<>();
    private final List<Pool> written = new ArrayList<>();

    Reader(List<Sae> saes, HookRows hookRows, Options options, FeatureRow[][] rows) {
      this.saes = saes;
      this.encoding = new SharedEncoding(saes);
      this.hookRows = hookRows;
      this.rows = rows;
      this.baseline = new Pool(options.pooling(), saes.get(0).config().dIn());
      for (Sae sae : saes) {
        sparse.add(new Pool(options.pooling(), sae.config().dSae()));
        written.add(new Pool(options.pooling(), sae.config().dOut()));
      }
    }

    void read(List<Example> texts, List<Integer> places, int length) {
      hookRows.read(places.stream().map(i -> texts.get(i).tokens()).toArray(int[][]::new));
      poolDense(hookRows.kept(), baseline, places, length, rows[0]);
      int capacity = Math.max(1, hookRows.keptRows());
      encoding.encode(
          hookRows.kept(),
          (s, latents) -> {
            Sae sae = saes.get(s);
            poolLatents(latents, sparse.get(s), places, length, rows[1 + s]);
            try (ActivationBatch out =
                ActivationBatch.allocate(sae.backend(), capacity, sae.config().dOut())) {
              sae.decode(latents, hookRows.kept(), out);
              poolDense(out, written.get(s), places, length, rows[1 + saes.size() + s]);
            }
          });
    }

    private void poolDense(
        ActivationBatch batch, Pool pool, List<Integer> places, int length, FeatureRow[] into) {
      float[] row = new float[batch.dIn()];
      FloatBuffer data = batch.data();
      int at = 0;
      for (int text = 0; text < places.size(); text++) {
        int end = hookRows.end(at, text, length);
        for (; at < end; at++) {
          data.get(at * row.length, row);
          pool.row();
          for (int i = 0; i < row.length; i++) {
            pool.add(i, row[i]);
          }
        }
        into[places.get(text)] = pool.dense();
      }
    }

    private void poolLatents(
        Latents latents, Pool pool, List<Integer> places, int length, FeatureRow[] into) {
      int[] starts = latents.starts();
      IntBuffer indices = latents.indices();
      FloatBuffer values = latents.values();
      int at = 0;
      for (int text = 0; text < places.size(); text++) {
        int end = hookRows.end(at, text, length);
        for (; at < end; at++) {
          pool.row();
          for (int i = starts[at]; i < starts[at + 1]; i++) {
            float value = values.get(i);
            if (value != 0) {
              pool.add(indices.get(i), value);
            }
          }
        }
        into[places.get(text)] = pool.sparse();
      }
    }

    @Override
    public void close() {
      encoding.close();
      hookRows.close();
    }
  }
}
