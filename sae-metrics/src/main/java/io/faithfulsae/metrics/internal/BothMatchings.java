package io.faithfulsae.metrics.internal;

import io.faithfulsae.Sae;
import io.faithfulsae.metrics.Assignment;
import io.faithfulsae.metrics.SharedFeatures.Agreement;
import io.faithfulsae.metrics.SharedFeatures.Directions;

/** Compares the matchings by decoder and by encoder directions. */
public final class BothMatchings {
  private BothMatchings() {}

  @SuppressWarnings("ArrayRecordComponent") // passed on at once, never compared
  private record Matching(int[] partner, float[] cosine) {}

  /** Matches twice, one after the other, so that only one matrix of cosines is in memory. */
  public static Agreement compare(Sae a, Sae b, double threshold) {
    FeatureMatching.check(a, b, threshold);
    if (a.config().dSae() > b.config().dSae()) {
      return compare(b, a, threshold);
    }
    Matching decoder = match(a, b, Directions.DECODER);
    Matching encoder = match(a, b, Directions.ENCODER);
    int pairs = decoder.partner().length;
    int agreeing = 0;
    int shared = 0;
    for (int i = 0; i < pairs; i++) {
      if (decoder.partner()[i] == encoder.partner()[i]) {
        agreeing++;
        boolean above =
            decoder.cosine()[i] > (float) threshold && encoder.cosine()[i] > (float) threshold;
        shared += above ? 1 : 0;
      }
    }
    return new Agreement(threshold, pairs, (double) agreeing / pairs, (double) shared / pairs);
  }

  private static Matching match(Sae a, Sae b, Directions directions) {
    float[][] cosines = FeatureMatching.cosines(a, b, directions);
    int[] partner = Assignment.maximumSum(cosines);
    float[] cosine = new float[partner.length];
    for (int i = 0; i < cosine.length; i++) {
      cosine[i] = cosines[i][partner[i]];
    }
    return new Matching(partner, cosine);
  }
}
