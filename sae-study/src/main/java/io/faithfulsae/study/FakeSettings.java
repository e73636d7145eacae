package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.FakeFeatures;
import org.jspecify.annotations.Nullable;

/**
 * Fake Feature Ratio.
 *
 * @param preset AUTHORS sets tokens, activation and frequency as the authors have them and leaves
 *     out position 0 alone, whatever the study's filter; null: as the other settings say
 * @param tokens random tokens
 * @param activation a latent fires above it
 * @param frequency a latent that fires at a larger share of the tokens is fake
 * @param seed of the random tokens
 * @param textSequences held-out sequences on which the same rates are measured
 * @param falseDiscoveryRate of the latents that count as more active on noise than on text
 * @param minimumRatio how many times as often such a latent is active on noise, at least
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
    /** What the authors' program counts, exactly. */
    AUTHORS
  }

  /** Lets the preset set what it is about. */
  public FakeSettings {
    if (preset == Preset.AUTHORS) {
      FakeFeatures.Options authors = FakeFeatures.Options.authors(2).build();
      tokens = authors.noiseTokens();
      activation = authors.activationThreshold();
      frequency = authors.rateThreshold();
    }
  }

  /** What reaches the SAE, where the study leaves out what its own filter says. */
  ActivationFilter filter(ActivationFilter ofStudy) {
    return preset == Preset.AUTHORS ? FakeFeatures.Options.authorsFilter() : ofStudy;
  }
}
