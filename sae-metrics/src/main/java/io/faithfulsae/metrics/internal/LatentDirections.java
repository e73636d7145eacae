package io.faithfulsae.metrics.internal;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.metrics.LatentDescription.Other;
import io.faithfulsae.metrics.LatentDescription.TokenEffect;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;

/** Decoder directions of some latents, beside all others and through the model's unembedding. */
final class LatentDirections {
  private static final int ROWS = 1024;

  /** Directions whose logits are computed, and kept, together. */
  private static final int TOGETHER = 16;

  private final Sae sae;
  private final List<Integer> chosen;
  private final int dIn;
  private final float[][] directions; // of unit norm

  LatentDirections(Sae sae, List<Integer> chosen) {
    this.sae = sae;
    this.chosen = chosen;
    this.dIn = sae.config().dIn();
    this.directions = new float[chosen.size()][];
    FloatBuffer row = DirectBuffers.floats(dIn);
    for (int c = 0; c < directions.length; c++) {
      sae.parameters().read(Tensor.W_DEC, (long) chosen.get(c) * dIn, row.clear());
      directions[c] = unit(row, 0);
    }
  }

  /**
   * Checks numbers of latents.
   *
   * @throws IllegalArgumentException if one is not of the SAE, or stands there twice
   */
  static void requireLatents(Sae sae, List<Integer> chosen) {
    for (int latent : chosen) {
      if (latent < 0 || latent >= sae.config().dSae()) {
        throw new IllegalArgumentException(
            "expected latents in [0, "
                + sae.config().dSae()
                + "), got "
                + latent
                + "; name latents of this SAE");
      }
    }
    if (new HashSet<>(chosen).size() != chosen.size()) {
      throw new IllegalArgumentException(
          "expected different latents, got " + chosen + "; name each once");
    }
  }

  /**
   * The latents of an SAE whose directions have the largest cosine with that of a chosen one, which
   * is not among them itself.
   */
  List<Other> nearest(int c, Sae among, int most) {
    int latents = among.config().dSae();
    double[] cosines = new double[latents];
    FloatBuffer block = DirectBuffers.floats((long) ROWS * dIn);
    for (int first = 0; first < latents; first += ROWS) {
      int count = Math.min(ROWS, latents - first);
      among.readDecoder(first, block.clear().limit(count * dIn));
      for (int r = 0; r < count; r++) {
        cosines[first + r] = product(directions[c], unit(block, r * dIn));
      }
    }
    boolean within = among.origin() == sae.origin();
    return IntStream.range(0, latents)
        .filter(other -> !(within && other == chosen.get(c)))
        .mapToObj(other -> new Other(other, cosines[other]))
        .sorted(
            Comparator.comparingDouble((Other other) -> -other.cosine())
                .thenComparingInt(Other::latent))
        .limit(most)
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
   * Reads each direction by the model's own final norm and unembedding.
   *
   * @param sizes the length that each direction gets
   */
  List<Effects> effects(LanguageModel model, double[] sizes, int most) {
    HookPoint last =
        model.hookPoints().stream()
            .filter(HookPoint::isResidual)
            .reduce((first, second) -> second)
            .orElseThrow();
    float[] zero = logits(model, last, new float[1][dIn], new double[1])[0];
    List<Effects> effects = new ArrayList<>();
    float[][] block = {};
    for (int c = 0; c < directions.length; c++) {
      if (c % TOGETHER == 0) {
        int end = Math.min(c + TOGETHER, directions.length);
        block =
            logits(
                model,
                last,
                Arrays.copyOfRange(directions, c, end),
                Arrays.copyOfRange(sizes, c, end));
      }
      float[] with = block[c % TOGETHER];
      List<TokenEffect> byLogit =
          IntStream.range(0, with.length)
              .mapToObj(token -> new TokenEffect(token, (double) with[token] - zero[token]))
              .sorted(
                  Comparator.comparingDouble(TokenEffect::logit)
                      .thenComparingInt(TokenEffect::token))
              .toList();
      int kept = sizes[c] > 0 ? Math.min(most, byLogit.size()) : 0;
      List<TokenEffect> raised =
          new ArrayList<>(byLogit.subList(byLogit.size() - kept, byLogit.size()));
      java.util.Collections.reverse(raised);
      effects.add(new Effects(raised, byLogit.subList(0, kept)));
    }
    return effects;
  }

  /** Of sequences of one token each: a model may have to widen its unembedding for each call. */
  private float[][] logits(LanguageModel model, HookPoint at, float[][] rows, double[] sizes) {
    int vocabulary = model.vocabularySize();
    FloatBuffer x = DirectBuffers.floats((long) rows.length * dIn);
    for (int row = 0; row < rows.length; row++) {
      for (int i = 0; i < dIn; i++) {
        x.put(row * dIn + i, (float) (rows[row][i] * sizes[row]));
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
    float[] row = new float[dIn];
    from.get(at, row);
    double squares = 0;
    for (float value : row) {
      squares += (double) value * value;
    }
    if (squares > 0) {
      double norm = Math.sqrt(squares);
      for (int i = 0; i < dIn; i++) {
        row[i] = (float) (row[i] / norm);
      }
    }
    return row;
  }
}
