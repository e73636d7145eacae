package io.faithfulsae.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.RowOrigins;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.Iterator;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Activations of a language model on text, at one hook point or side by side at several. A position
 * is {@code batch << 32 | kept rows of that batch already read}: resuming inside a batch runs the
 * whole batch again.
 */
public final class ModelSource implements ActivationSource {
  private final LanguageModel model;
  private final List<HookPoint> hooks;
  private final TokenSource tokens;
  private final ActivationFilter filter;
  private final int batchSequences;

  /** Creates the source; nothing runs before it is opened. Norms are those at the first hook. */
  public ModelSource(
      LanguageModel model,
      List<HookPoint> hooks,
      TokenSource tokens,
      ActivationFilter filter,
      int batchSequences) {
    hooks.forEach(hook -> hook.requireIn(model));
    Expected.atLeast("batchSequences", batchSequences, 1, "use at least one sequence per batch");
    this.model = model;
    this.hooks = List.copyOf(hooks);
    this.tokens = tokens;
    this.filter = filter;
    this.batchSequences = batchSequences;
  }

  @Override
  public int dIn() {
    return hooks.stream().mapToInt(model::width).sum();
  }

  @Override
  public String description() {
    return model.name()
        + " "
        + hooks.stream().map(HookPoint::toString).collect(Collectors.joining(" -> "))
        + " on "
        + tokens.description()
        + ", batches of "
        + batchSequences
        + ", "
        + filter;
  }

  @Override
  public OptionalLong rowsAtMost(long enough) throws IOException {
    long rows = 0;
    try (Stream<int[]> sequences = tokens.open(0)) {
      Iterator<int[]> each = sequences.iterator();
      while (rows < enough && each.hasNext()) {
        int[] sequence = each.next();
        for (int place = 0; place < sequence.length; place++) {
          rows += filter.keeps(place, sequence[place]) ? 1 : 0;
        }
      }
    }
    return OptionalLong.of(rows);
  }

  @Override
  public boolean fillsOnDevice(Backend backend) {
    return hooks.size() == 1 && model.sharesDeviceWith(backend);
  }

  @Override
  public ActivationReader open(long position) throws IOException {
    return new Reader(position);
  }

  private final class Reader implements ActivationReader {
    private final ModelBatches batches;
    private long batch;
    private int sequence;
    private int place;
    private int rowsOfBatch;
    private boolean loaded;
    private boolean ended;
    private long kept;
    private long byPosition;
    private long byToken;
    private long byNorm;

    Reader(long position) throws IOException {
      batch = position >>> 32;
      batches = new ModelBatches(model, hooks, tokens, batchSequences, batch);
      int skip = (int) position;
      if (skip > 0) {
        load();
        while (rowsOfBatch < skip && advanceToKept()) {
          place++;
          rowsOfBatch++;
        }
      }
      kept = 0;
      byPosition = 0;
      byToken = 0;
      byNorm = 0;
    }

    @Override
    public int read(ActivationBatch into) {
      return fill(into, null);
    }

    @Override
    public int read(ActivationBatch into, RowOrigins origins) {
      return fill(into, origins);
    }

    private int fill(ActivationBatch into, @Nullable RowOrigins origins) {
      int before = into.rows();
      while (into.rows() < into.capacity()) {
        if (!loaded && !load()) {
          break;
        }
        if (advanceToKept()) {
          batches.append(sequence, place, into);
          if (origins != null) {
            int number = Math.toIntExact(batch * batchSequences + sequence);
            origins.add(number, place, batches.tokens()[sequence][place]);
          }
          place++;
          rowsOfBatch++;
          kept++;
        } else {
          batches.flush(into);
          batch++;
          loaded = false;
        }
      }
      batches.flush(into);
      int added = into.rows() - before;
      return added == 0 && ended ? -1 : added;
    }

    private boolean load() {
      if (ended || !batches.next()) {
        ended = true;
        return false;
      }
      sequence = 0;
      place = 0;
      rowsOfBatch = 0;
      loaded = true;
      return true;
    }

    /**
     * Moves to the next row of this batch that passes the filter, counting rows that do not; false
     * at the end of the batch.
     */
    private boolean advanceToKept() {
      int[][] sequences = batches.tokens();
      while (sequence < sequences.length) {
        while (place < sequences[sequence].length) {
          if (passes(sequences[sequence][place])) {
            return true;
          }
          place++;
        }
        sequence++;
        place = 0;
      }
      return false;
    }

    private boolean passes(int token) {
      if (place < filter.skipPositions()) {
        byPosition++;
        return false;
      }
      if (!filter.keeps(place, token)) {
        byToken++;
        return false;
      }
      double norm = batches.norm(sequence, place);
      if (norm > filter.maxNorm()
          && Double.isFinite(norm)) { // never silently drop infinity: it is an error later
        byNorm++;
        return false;
      }
      return true;
    }

    @Override
    public long position() {
      return batch << 32 | (loaded ? rowsOfBatch : 0);
    }

    @Override
    public ActivationFilter.Counts counts() {
      return new ActivationFilter.Counts(kept, byPosition, byToken, byNorm);
    }

    @Override
    public void close() {
      batches.close();
    }
  }
}
