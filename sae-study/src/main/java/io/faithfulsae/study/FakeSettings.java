package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.FakeFeatures;
import org.jspecify.annotations.Nullable;

/**
 * Fake Feature Ratio.
 *
 * @param preset AUTHORS uses the authors' tokens, activation and frequency and leaves out only
 *     position 0, regardless of the study's filter; null for the other settings
 * @param tokens number of random tokens
 * @param activation threshold above which a latent fires
 * @param frequency a latent that fires on a larger share of the tokens is fake
 * @param seed of the random tokens
 * @param textSequences held-out sequences on which the same rates are measured
 * @param falseDiscoveryRate of the latents counted as more active on noise than on text
 * @param minimumRatio how many times as active such a latent must be on noise
 */
public record FakeSettings(
    @Nullable Preset preset,
    long tokens,
    double activation,
    double frequency,
    long seed,
    int textSequences,
    double falseDiscoveryRate,
    double minimumRatio) {

  /** Settings of the Fake Feature Ratio under one name. */
  public enum Preset {
    /** Exactly what the authors' program counts. */
    AUTHORS
  }

  /** Applies the preset. */
  public FakeSettings {
    if (preset == Preset.AUTHORS) {
      FakeFeatures.Options authors = FakeFeatures.Options.authors(2).build();
      tokens = authors.noiseTokens();
      activation = authors.activationThreshold();
      frequency = authors.rateThreshold();
    }
  }

  /** The filter for fake features, given the study's own. */
  ActivationFilter filter(ActivationFilter ofStudy) {
    return preset == Preset.AUTHORS ? FakeFeatures.Options.authorsFilter() : ofStudy;
  }
}
