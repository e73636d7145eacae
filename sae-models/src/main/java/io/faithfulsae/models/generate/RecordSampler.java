package io.faithfulsae.models.generate;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.function.LongPredicate;

/**
 * Samples records from the BOS token, many side by side: where one ends, the next begins at once.
 * Each record has its own random numbers, so that it is the same whatever runs beside it and
 * whenever it was begun.
 */
final class RecordSampler implements AutoCloseable {
  /** How records come by their random numbers, for the settings of a file. */
  static final String RANDOM = Rng.ALGORITHM + "(seed, record)";

  private final OnnxModel model;
  private final GenerationConfig config;
  private final Rows rows;
  private final Growing[] ofRow;
  private final int[] next;
  private final double[] random;

  /** Begun and not handed over, by number. */
  private final NavigableMap<Long, Growing> open = new TreeMap<>();

  /** A record under way, or done and waiting for those before it. */
  private static final class Growing {
    private final Rng random;
    private final int[] tokens;
    private int length;
    private boolean done;

    Growing(Rng random, int maxLength) {
      this.random = random;
      this.tokens = new int[maxLength];
    }

    void add(int token) {
      tokens[length++] = token;
    }
  }

  /** Takes finished records, in the order of their numbers. */
  interface Sink {
    void take(int[] tokens) throws IOException;
  }

  RecordSampler(OnnxModel model, GenerationConfig config) {
    this.model = model;
    this.config = config;
    this.rows = Rows.of(model, config);
    this.ofRow = new Growing[config.batch()];
    this.next = new int[config.batch()];
    this.random = new double[config.batch()];
  }

  /**
   * Samples records until they have enough tokens.
   *
   * @param first number of the first
   * @param tokens that the records must have together, at least 1; the one that reaches it is the
   *     last
   * @param keepGoing is told after each step how many tokens the records under way have; all of
   *     these are given up when it says no
   * @return whether there are enough
   */
  boolean sample(long first, long tokens, Sink sink, LongPredicate keepGoing) throws IOException {
    open.clear();
    long begun = first;
    long missing = tokens;
    rows.start();
    for (int row = 0; row < config.batch(); row++) {
      begin(row, begun++);
    }
    while (true) {
      boolean enough = forgetWhatIsNotNeeded(missing);
      for (int row = rows.count() - 1; row >= 0; row--) {
        if (ofRow[row].done && enough) {
          drop(row);
        } else if (ofRow[row].done) {
          rows.restart(row);
          begin(row, begun++);
        }
      }
      step();
      missing -= handOver(sink, missing);
      if (missing <= 0) {
        return true;
      }
      if (!keepGoing.test(open.values().stream().mapToLong(record -> record.length).sum())) {
        return false;
      }
    }
  }

  private void begin(int row, long id) {
    Growing record = new Growing(new Rng(Purpose.RECORDS, config.seed(), id), config.maxLength());
    record.add(model.bosToken());
    ofRow[row] = record;
    next[row] = model.bosToken();
    open.put(id, record);
  }

  private void step() {
    int count = rows.count();
    for (int row = 0; row < count; row++) {
      random[row] = ofRow[row].random.nextDouble();
    }
    rows.step(next, random);
    for (int row = 0; row < count; row++) {
      Growing record = ofRow[row];
      record.add(next[row]);
      record.done = next[row] == model.eosToken() || record.length == config.maxLength();
    }
  }

  /** Hands over the records that are done, up to the first that is not. */
  private long handOver(Sink sink, long missing) throws IOException {
    long handed = 0;
    Iterator<Growing> inOrder = open.values().iterator();
    while (handed < missing && inOrder.hasNext()) {
      Growing record = inOrder.next();
      if (!record.done) {
        break;
      }
      inOrder.remove();
      sink.take(Arrays.copyOf(record.tokens, record.length));
      handed += record.length;
    }
    return handed;
  }

  /**
   * Ends the records that come after enough others, however short those turn out to be.
   *
   * @return whether the records that are left will be enough
   */
  private boolean forgetWhatIsNotNeeded(long missing) {
    long sum = 0;
    Iterator<Growing> inOrder = open.values().iterator();
    while (inOrder.hasNext()) {
      Growing record = inOrder.next();
      if (sum >= missing) {
        record.done = true;
        inOrder.remove();
      } else {
        sum += record.length;
      }
    }
    return sum >= missing;
  }

  private void drop(int row) {
    int last = rows.count() - 1;
    ofRow[row] = ofRow[last];
    next[row] = next[last];
    rows.drop(row);
  }

  @Override
  public void close() {
    rows.close();
  }
}
