package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Expected;
import java.util.Map;
import java.util.Set;

/** What SAELens 6.54 has a class for. */
final class SaeLensLimits {
  private static final Set<String> ARCHITECTURES =
      Set.of(
          "standard",
          "topk",
          "abstopk",
          "batchtopk",
          "jumprelu",
          "gated",
          "transcoder",
          "skip_transcoder",
          "jumprelu_transcoder",
          "jumprelu_skip_transcoder");

  private SaeLensLimits() {}

  /**
   * Checks that SAELens would open it.
   *
   * @throws IllegalArgumentException if not
   */
  static void check(SaeConfig config, Map<String, String> metadata) {
    String architecture = SaeConfigFile.architecture(config, metadata);
    if (!ARCHITECTURES.contains(architecture)) {
      throw cannot(architecture);
    }
    if (SaeConfigFile.isTranscoder(config, metadata)
        && (config.subtractDecoderBias() || config.normalization() != Normalization.NONE)) {
      throw cannot(architecture + " that subtracts b_dec from its input or normalizes rows");
    }
  }

  private static IllegalArgumentException cannot(String got) {
    return new IllegalArgumentException(
        Expected.message(
            "an architecture that SAELens has", got, "use save(Path), which this library reads"));
  }
}
