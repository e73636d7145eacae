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
 * Samples records from the BOS token, many in parallel: when one ends, the next starts in its row.
 * Each record has its own random numbers, so it does not depend on the rest of the batch or on when
 * it starts.
 */
final class RecordSampler implements AutoCloseable {
  /** How records get their random numbers; part of a file's settings. */
  static final String RANDOM = Rng.ALGORITHM + "(seed, record)";

  private final OnnxModel model;
  private final GenerationConfig config;
  private final Rows rows;
  private final Growing[] ofRow;
  private final int[] next;
  private final double[] random;

  /** Started and not yet handed over, by id. */
  private final NavigableMap<Long, Growing> open = new TreeMap<>();

  /** A record in progress, or finished and waiting for earlier ones. */
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

  /** Receives finished records, in order. */
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
   * @param first id of the first record
   * @param tokens minimum total tokens, at least 1; the record that reaches it is the last
   * @param keepGoing gets the number of tokens in unfinished records after each step; if it returns
   *     false, these records are discarded
   * @return whether the total was reached
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

  /** Hands over finished records up to the first unfinished one. */
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
   * Ends records that will not be needed, however short the ones before them turn out to be.
   *
   * @return whether the remaining records will suffice
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
