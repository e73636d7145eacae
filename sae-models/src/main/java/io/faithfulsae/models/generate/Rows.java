package io.faithfulsae.models.generate;

import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.DeviceDecoder;
import io.faithfulsae.models.OnnxModel;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * A batch of sequences: one token and one random number per row go in, the next tokens come out.
 * Sampling runs wherever the model does.
 */
abstract sealed class Rows implements AutoCloseable {

  /** Number of active rows. */
  abstract int count();

  /** Starts over with as many empty sequences as fit. */
  abstract void start();

  /** Starts a row over with an empty sequence. */
  abstract void restart(int row);

  /** Drops a row; the last one moves into its place. */
  abstract void drop(int row);

  /**
   * Appends a token to each row and samples the next.
   *
   * @param next one token per row, replaced by the sampled one. Modified.
   * @param random one number in [0, 1) per row
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

  /** Rows stay in place on the device; dropped ones idle, restarting at each step. */
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
