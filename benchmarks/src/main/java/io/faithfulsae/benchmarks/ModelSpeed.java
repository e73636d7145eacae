package io.faithfulsae.benchmarks;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.DeviceActivations;
import io.faithfulsae.HookPoint;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.DeviceDecoder;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.LongSupplier;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Measures a language model's tokens per second: reading the residual stream in the middle, and
 * sampling from BOS with a cache. {@code run-models.sh} compares it with transformers.
 */
public final class ModelSpeed {
  private static final int SEQUENCES = 8;
  private static final int LENGTH = 128;
  private static final int BATCH = 32;

  private ModelSpeed() {}

  /**
   * Arguments: the model's folder, the number of threads, the seconds per measurement, the file to
   * write, and optionally a backend in whose memory the model then runs, on a GPU in bfloat16.
   */
  public static void main(String[] args) throws IOException {
    int threads = Integer.parseInt(args[1]);
    double seconds = Double.parseDouble(args[2]);
    if (args.length > 4) {
      measureOnBackend(Path.of(args[0]), threads, seconds, Path.of(args[3]), args[4]);
      return;
    }
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

  private static void measureOnBackend(
      Path folder, int threads, double seconds, Path file, String name) throws IOException {
    Precision precision = name.equals("cuda") ? Precision.BFLOAT16 : Precision.FLOAT32;
    try (Backend backend = Backends.open(name);
        OnnxModel model =
            OnnxModel.open(folder, new OnnxModel.Options(threads, precision), backend)) {
      String json =
          String.format(
              Locale.ROOT,
              "{\"device\": \"%s\", \"harvest\": %.1f, \"generate\": %.1f, \"peak_mib\": %d}%n",
              backend.info().device(),
              harvestOnDevice(model, backend, seconds),
              generateOnDevice(model, seconds),
              PeakMemory.mib());
      Files.writeString(file, json);
    }
  }

  /** Reads activations into a batch in the backend's own memory. */
  private static double harvestOnDevice(OnnxModel model, Backend backend, double seconds) {
    int[][] tokens = tokens(model);
    int[] rows = IntStream.range(0, SEQUENCES * LENGTH).toArray();
    HookPoint hook = HookPoint.residPre(model.layers() / 2);
    try (ActivationBatch batch =
        ActivationBatch.allocateOnDevice(backend, rows.length, model.dModel())) {
      LongSupplier round =
          () -> {
            try (DeviceActivations tapped = model.deviceActivations(hook, tokens).orElseThrow()) {
              tapped.copy(rows, rows.length, batch, 0);
              backend.synchronize();
            }
            return rows.length;
          };
      long unused = round.getAsLong(); // warms up
      return perSecond(seconds, round);
    }
  }

  private static double generateOnDevice(OnnxModel model, double seconds) {
    Rng random = new Rng(Purpose.TRIALS, 2);
    try (DeviceDecoder decoder = model.deviceDecoder(BATCH, LENGTH, 1)) {
      sample(model, decoder, random, 8);
      return perSecond(seconds, () -> sample(model, decoder, random, LENGTH));
    }
  }

  /** Runs whole rounds, each of which returns its number of tokens. The caller has warmed up. */
  private static double perSecond(double seconds, LongSupplier round) {
    long start = System.nanoTime();
    long done = 0;
    while ((System.nanoTime() - start) * 1e-9 < seconds) {
      done += round.getAsLong();
    }
    return done / ((System.nanoTime() - start) * 1e-9);
  }

  private static long sample(OnnxModel model, DeviceDecoder decoder, Rng random, int length) {
    int[] next = new int[BATCH];
    Arrays.fill(next, model.bosToken());
    for (int row = 0; row < BATCH; row++) {
      decoder.restart(row);
    }
    for (int at = 1; at < length; at++) {
      decoder.step(next, DoubleStream.generate(random::nextDouble).limit(BATCH).toArray(), next);
    }
    return (long) BATCH * (length - 1);
  }

  private static int[][] tokens(OnnxModel model) {
    Rng random = new Rng(Purpose.TRIALS, 1);
    int[][] tokens = new int[SEQUENCES][LENGTH];
    for (int[] row : tokens) {
      Arrays.setAll(row, i -> random.nextInt(model.vocabularySize()));
    }
    return tokens;
  }

  private static double harvest(OnnxModel model, double seconds) {
    int[][] tokens = tokens(model);
    HookPoint hook = HookPoint.residPre(model.layers() / 2);
    FloatBuffer into = DirectBuffers.floats((long) SEQUENCES * LENGTH * model.dModel());
    model.activations(hook, tokens, into);
    return perSecond(
        seconds,
        () -> {
          model.activations(hook, tokens, into);
          return (long) SEQUENCES * LENGTH;
        });
  }

  /** Whole rounds of {@code BATCH} texts of {@code LENGTH} tokens each; EOS does not end a text. */
  private static double generate(OnnxModel model, double seconds) {
    Rng random = new Rng(Purpose.TRIALS, 2);
    try (Decoder decoder = model.decoder(BATCH, LENGTH)) {
      sample(model, decoder, random, 8);
      return perSecond(seconds, () -> sample(model, decoder, random, LENGTH));
    }
  }

  private static long sample(OnnxModel model, Decoder decoder, Rng random, int length) {
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
