package io.faithfulsae.benchmarks;

import io.faithfulsae.HookPoint;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.OnnxModel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;

/**
 * Tokens a second of a language model: reading the residual stream in the middle, and sampling from
 * BOS with a cache. {@code run-models.sh} sets it beside transformers.
 */
public final class ModelSpeed {
  private static final int SEQUENCES = 8;
  private static final int LENGTH = 128;
  private static final int BATCH = 32;

  private ModelSpeed() {}

  /** Takes the model's folder, threads, seconds of each measurement, and the file to write. */
  public static void main(String[] args) throws IOException {
    int threads = Integer.parseInt(args[1]);
    double seconds = Double.parseDouble(args[2]);
    try (OnnxModel model = OnnxModel.open(Path.of(args[0]), new OnnxModel.Options(threads))) {
      String json =
          String.format(
              Locale.ROOT,
              "{\"harvest\": %.1f, \"generate\": %.1f, \"peak_mib\": %d}%n",
              harvest(model, seconds),
              generate(model, seconds),
              PeakMemory.mib());
      Files.writeString(Path.of(args[3]), json);
    }
  }

  private static double harvest(OnnxModel model, double seconds) {
    Random random = new Random(1);
    int[][] tokens = new int[SEQUENCES][LENGTH];
    for (int[] row : tokens) {
      Arrays.setAll(row, i -> random.nextInt(model.vocabularySize()));
    }
    HookPoint hook = HookPoint.residPre(model.layers() / 2);
    FloatBuffer into =
        ByteBuffer.allocateDirect(SEQUENCES * LENGTH * model.dModel() * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    model.activations(hook, tokens, into);
    long start = System.nanoTime();
    long done = 0;
    while ((System.nanoTime() - start) * 1e-9 < seconds) {
      model.activations(hook, tokens, into);
      done += (long) SEQUENCES * LENGTH;
    }
    return done / ((System.nanoTime() - start) * 1e-9);
  }

  /** Whole rounds of {@code BATCH} texts of {@code LENGTH} tokens; EOS does not end them. */
  private static double generate(OnnxModel model, double seconds) {
    Random random = new Random(2);
    try (Decoder decoder = model.decoder(BATCH, LENGTH)) {
      sample(model, decoder, random, 8);
      long start = System.nanoTime();
      long done = 0;
      while ((System.nanoTime() - start) * 1e-9 < seconds) {
        done += sample(model, decoder, random, LENGTH);
      }
      return done / ((System.nanoTime() - start) * 1e-9);
    }
  }

  private static long sample(OnnxModel model, Decoder decoder, Random random, int length) {
    int[] next = new int[BATCH];
    Arrays.fill(next, model.bosToken());
    decoder.start(BATCH);
    for (int at = 1; at < length; at++) {
      decoder.step(next);
      FloatBuffer probabilities = decoder.probabilities();
      for (int row = 0; row < BATCH; row++) {
        next[row] = draw(probabilities, row * model.vocabularySize(), model, random.nextDouble());
      }
    }
    return (long) BATCH * (length - 1);
  }

  private static int draw(FloatBuffer probabilities, int from, OnnxModel model, double uniform) {
    double sum = 0;
    for (int token = 0; token < model.vocabularySize(); token++) {
      sum += probabilities.get(from + token);
      if (sum > uniform) {
        return token;
      }
    }
    return model.vocabularySize() - 1;
  }
}
