package io.faithfulsae.models.generate;

import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.OnnxModel;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongPredicate;
import org.apache.commons.math3.random.RandomGenerator;
import org.apache.commons.math3.random.Well19937c;

/**
 * Samples records from the BOS token, a batch side by side; each record has its own random numbers.
 */
final class BatchSampler implements AutoCloseable {
  private final OnnxModel model;
  private final GenerationConfig config;
  private final Decoder decoder;
  private final Sampler sampler;

  BatchSampler(OnnxModel model, GenerationConfig config) {
    this.model = model;
    this.config = config;
    // The last token of a record is sampled, not run.
    this.decoder = model.decoder(config.batch(), config.maxLength() - 1);
    this.sampler = new Sampler(model.vocabularySize(), config.topP());
    decoder.temperature(config.temperature());
  }

  /**
   * Samples the records {@code first} to {@code first + batch - 1}.
   *
   * @param goOn is told of the tokens so far after each step; the batch is given up when it says no
   * @return each record's tokens, or nothing if it was given up
   */
  List<int[]> sample(long first, LongPredicate goOn) {
    int batch = config.batch();
    int[][] records = new int[batch][];
    int[][] growing = new int[batch][config.maxLength()];
    RandomGenerator[] random = new RandomGenerator[batch];
    int[] recordOfRow = new int[batch];
    int[] next = new int[batch];
    for (int i = 0; i < batch; i++) {
      random[i] = random(first + i);
      recordOfRow[i] = i;
      next[i] = model.bosToken();
      growing[i][0] = next[i];
    }
    decoder.start(batch);
    long done = 0;
    for (int live = batch; live > 0; live = decoder.rows()) {
      decoder.step(next);
      FloatBuffer probabilities = decoder.probabilities();
      int length = decoder.length() + 1;
      for (int row = live - 1; row >= 0; row--) {
        int record = recordOfRow[row];
        int token = sampler.draw(probabilities, row, random[record].nextDouble());
        growing[record][length - 1] = token;
        next[row] = token;
        if (token == model.eosToken() || length == config.maxLength()) {
          records[record] = Arrays.copyOf(growing[record], length);
          done += length;
          int last = decoder.rows() - 1;
          recordOfRow[row] = recordOfRow[last];
          next[row] = next[last];
          decoder.drop(row);
        }
      }
      if (!goOn.test(done + (long) decoder.rows() * length)) {
        return List.of();
      }
    }
    return List.of(records);
  }

  private RandomGenerator random(long id) {
    long seed = config.seed();
    return new Well19937c(new int[] {(int) (seed >>> 32), (int) seed, (int) (id >>> 32), (int) id});
  }

  @Override
  public void close() {
    decoder.close();
  }
}
