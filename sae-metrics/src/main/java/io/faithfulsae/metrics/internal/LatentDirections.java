package io.faithfulsae.metrics.internal;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.LatentDescription.Other;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;

/** Decoder directions of some latents: their cosines with others and their effect on the logits. */
final class LatentDirections {
  private static final int ROWS = 1024;

  /** Number of directions whose logits are computed at once. */
  private static final int BATCH = 16;

  private final Sae sae;
  private final List<Integer> chosen;
  private final int width; // of what latents write
  private final float[][] directions; // of unit norm

  LatentDirections(Sae sae, List<Integer> chosen) {
    this.sae = sae;
    this.chosen = chosen;
    this.width = sae.config().dOut();
    this.directions = new float[chosen.size()][];
    FloatBuffer row = DirectBuffers.floats(width);
    for (int c = 0; c < directions.length; c++) {
      sae.parameters().read(Tensor.W_DEC, (long) chosen.get(c) * width, row.clear());
      directions[c] = unit(row, 0);
    }
  }

  /**
   * Checks a list of latents.
   *
   * @throws IllegalArgumentException if the SAE has no such latent, or one is listed twice
   */
  static void requireLatents(Sae sae, List<Integer> chosen) {
    for (int latent : chosen) {
      Expected.inRange("latent", latent, 0, sae.config().dSae() - 1, "choose latents of this SAE");
    }
    if (new HashSet<>(chosen).size() != chosen.size()) {
      throw new IllegalArgumentException(
          Expected.message("distinct latents", chosen, "list each latent once"));
    }
  }

  /**
   * Checks that the directions of two SAEs can be compared.
   *
   * @throws IllegalArgumentException if they write activations of different widths
   */
  static void requireOneWidth(Sae a, Sae b) {
    if (a.config().dOut() != b.config().dOut()) {
      throw new IllegalArgumentException(
          Expected.message(
              "SAEs that write the same width",
              "d_out = " + a.config().dOut() + " and " + b.config().dOut(),
              "compare SAEs trained at the same hook point"));
    }
  }

  /**
   * The latents of an SAE whose directions have the largest cosine with a chosen latent's, which
   * itself is excluded.
   */
  List<Other> nearest(int c, Sae among, int max) {
    int latents = among.config().dSae();
    double[] cosines = new double[latents];
    FloatBuffer block = DirectBuffers.floats((long) ROWS * width);
    for (int first = 0; first < latents; first += ROWS) {
      int count = Math.min(ROWS, latents - first);
      among.readDecoder(first, block.clear().limit(count * width));
      for (int r = 0; r < count; r++) {
        cosines[first + r] = product(directions[c], unit(block, r * width));
      }
    }
    boolean within = among.origin() == sae.origin();
    return IntStream.range(0, latents)
        .filter(other -> !(within && other == chosen.get(c)))
        .mapToObj(other -> new Other(other, cosines[other]))
        .sorted(
            Comparator.comparingDouble((Other other) -> -other.cosine())
                .thenComparingInt(Other::latent))
        .limit(max)
        .toList();
  }

  /** The cosine of a chosen latent's direction with that of a latent of an SAE. */
  double cosine(int c, Sae other, int latent) {
    return product(directions[c], unit(FloatBuffer.wrap(other.decoderDirection(latent)), 0));
  }

  private static double product(float[] one, float[] other) {
    double sum = 0;
    for (int i = 0; i < one.length; i++) {
      sum += (double) one[i] * other[i];
    }
    return sum;
  }

  /** The tokens whose logits a direction moves most. */
  record Effects(List<TokenEffect> raised, List<TokenEffect> lowered) {}

  /**
   * Passes each direction through the model's own final norm and unembedding. No tokens if a
   * transcoder writes activations of another width than the model's.
   *
   * @param sizes the length to scale each direction to
   */
  List<Effects> effects(LanguageModel model, double[] sizes, int max) {
    HookPoint last =
        model.hookPoints().stream()
            .filter(HookPoint::isResidual)
            .reduce((first, second) -> second)
            .orElseThrow();
    if (model.dModel() != width) {
      return Collections.nCopies(directions.length, new Effects(List.of(), List.of()));
    }
    float[] zero = logits(model, last, new float[1][width], new double[1])[0];
    List<Effects> effects = new ArrayList<>();
    float[][] block = {};
    for (int c = 0; c < directions.length; c++) {
      if (c % BATCH == 0) {
        int end = Math.min(c + BATCH, directions.length);
        block =
            logits(
                model,
                last,
                Arrays.copyOfRange(directions, c, end),
                Arrays.copyOfRange(sizes, c, end));
      }
      float[] with = block[c % BATCH];
      List<TokenEffect> byLogit =
          IntStream.range(0, with.length)
              .mapToObj(token -> new TokenEffect(token, (double) with[token] - zero[token]))
              .sorted(
                  Comparator.comparingDouble(TokenEffect::logit)
                      .thenComparingInt(TokenEffect::token))
              .toList();
      int kept = sizes[c] > 0 ? Math.min(max, byLogit.size()) : 0;
      List<TokenEffect> raised =
          new ArrayList<>(byLogit.subList(byLogit.size() - kept, byLogit.size()));
      Collections.reverse(raised);
      effects.add(new Effects(raised, byLogit.subList(0, kept)));
    }
    return effects;
  }

  /**
   * Logits of several rows in one call, as one-token sequences: a model may have to widen its
   * unembedding on every call.
   */
  private float[][] logits(LanguageModel model, HookPoint at, float[][] rows, double[] sizes) {
    int vocabulary = model.vocabularySize();
    FloatBuffer x = DirectBuffers.floats((long) rows.length * width);
    for (int row = 0; row < rows.length; row++) {
      for (int i = 0; i < width; i++) {
        x.put(row * width + i, (float) (rows[row][i] * sizes[row]));
      }
    }
    FloatBuffer into = DirectBuffers.floats((long) rows.length * vocabulary);
    model.logitsFrom(at, x, rows.length, 1, into);
    float[][] logits = new float[rows.length][vocabulary];
    for (int row = 0; row < rows.length; row++) {
      into.get(row * vocabulary, logits[row]);
    }
    return logits;
  }

  private float[] unit(FloatBuffer from, int at) {
    float[] row = new float[width];
    from.get(at, row);
    double squares = 0;
    for (float value : row) {
      squares += (double) value * value;
    }
    if (squares > 0) {
      double norm = Math.sqrt(squares);
      for (int i = 0; i < width; i++) {
        row[i] = (float) (row[i] / norm);
      }
    }
    return row;
  }
}
