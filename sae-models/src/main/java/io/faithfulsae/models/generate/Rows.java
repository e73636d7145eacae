package io.faithfulsae.models.generate;

import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.DeviceDecoder;
import io.faithfulsae.models.OnnxModel;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * Sequences side by side: a token and a random number a row go in, the next token comes out. Where
 * it is drawn is where the model computes.
 */
abstract sealed class Rows implements AutoCloseable {

  /** Rows under way. */
  abstract int count();

  /** Begins anew with as many empty sequences as there is room for. */
  abstract void start();

  /** Begins a row anew with an empty sequence. */
  abstract void restart(int row);

  /** Drops a row; the last one takes its place. */
  abstract void drop(int row);

  /**
   * Appends a token to each row and draws what follows.
   *
   * @param next one token a row, replaced by the next. Modified.
   * @param random one number in [0, 1) a row
   */
  abstract void step(int[] next, double[] random);

  @Override
  public abstract void close();

  static Rows of(OnnxModel model, GenerationConfig config) {
    // The last token of a record is sampled, not run.
    int longest = config.maxLength() - 1;
    if (model.onDevice()) {
      return new OnDevice(
          model.deviceDecoder(config.batch(), longest, config.topP()), config.temperature());
    }
    return new OnHost(
        model.decoder(config.batch(), longest),
        new Sampler(model.vocabularySize(), config.topP()),
        config);
  }

  private static final class OnHost extends Rows {
    private final Decoder decoder;
    private final Sampler sampler;
    private final int batch;

    OnHost(Decoder decoder, Sampler sampler, GenerationConfig config) {
      this.decoder = decoder;
      this.sampler = sampler;
      this.batch = config.batch();
      decoder.temperature(config.temperature());
    }

    @Override
    int count() {
      return decoder.rows();
    }

    @Override
    void start() {
      decoder.start(batch);
    }

    @Override
    void restart(int row) {
      decoder.restart(row);
    }

    @Override
    void drop(int row) {
      decoder.drop(row);
    }

    @Override
    void step(int[] next, double[] random) {
      decoder.step(next);
      FloatBuffer probabilities = decoder.probabilities();
      for (int row = 0; row < decoder.rows(); row++) {
        next[row] = sampler.draw(probabilities, row, random[row]);
      }
    }

    @Override
    public void close() {
      decoder.close();
    }
  }

  /** Rows stay where they are on the device; those that are dropped idle, each step a first one. */
  private static final class OnDevice extends Rows {
    private final DeviceDecoder decoder;
    private final int[] placeOf;
    private final int[] tokens;
    private final double[] numbers;
    private int count;

    OnDevice(DeviceDecoder decoder, double temperature) {
      this.decoder = decoder;
      this.placeOf = new int[decoder.rows()];
      this.tokens = new int[decoder.rows()];
      this.numbers = new double[decoder.rows()];
      decoder.temperature(temperature);
      start();
    }

    @Override
    int count() {
      return count;
    }

    @Override
    void start() {
      count = placeOf.length;
      for (int row = 0; row < count; row++) {
        placeOf[row] = row;
        decoder.restart(row);
      }
    }

    @Override
    void restart(int row) {
      decoder.restart(placeOf[row]);
    }

    @Override
    void drop(int row) {
      int idle = placeOf[row];
      placeOf[row] = placeOf[--count];
      placeOf[count] = idle;
    }

    @Override
    void step(int[] next, double[] random) {
      Arrays.fill(tokens, 0);
      for (int row = 0; row < placeOf.length; row++) {
        if (row < count) {
          tokens[placeOf[row]] = next[row];
          numbers[placeOf[row]] = random[row];
        } else {
          decoder.restart(placeOf[row]);
        }
      }
      decoder.step(tokens, numbers, tokens);
      for (int row = 0; row < count; row++) {
        next[row] = tokens[placeOf[row]];
      }
    }

    @Override
    public void close() {
      decoder.close();
    }
  }
}
