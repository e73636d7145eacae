package io.faithfulsae.cli;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.SharedFeatures;
import io.faithfulsae.metrics.SharedFeatures.Agreement;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae match}: measures the features shared by two SAEs. */
@Command(
    name = "match",
    description =
        "Compares the features of two SAEs: the Shared Feature Ratio, top-1 and matched one-to-"
            + " one.")
final class MatchCommand implements Callable<Integer>, WritesFiles {
  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;

  @Option(names = "--a", paramLabel = "DIR", required = true, description = "SAE folder.")
  Path a;

  @Option(names = "--b", paramLabel = "DIR", required = true, description = "SAE folder.")
  Path b;

  @Option(
      names = "--threshold",
      paramLabel = "X",
      defaultValue = "0.7",
      description =
          "Cosine similarity above which a pair counts as shared (default: ${DEFAULT-VALUE}).")
  double threshold;

  @Option(
      names = "--strict",
      description =
          "Also match by encoder and decoder together, and compare neurons if both SAEs have the same"
              + " shape; doubles the time.")
  boolean strict;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write.")
  Path out;

  /**
   * The result.
   *
   * @param decoder by decoder directions: the Shared Feature Ratio
   * @param encoder by encoder directions
   * @param agreement of both matchings, if requested
   * @param decoderNeurons by columns of W_dec, if requested
   * @param encoderNeurons by rows of W_enc, if requested
   */
  record Matched(
      SharedFeatures decoder,
      SharedFeatures encoder,
      @Nullable Agreement agreement,
      @Nullable Neurons decoderNeurons,
      @Nullable Neurons encoderNeurons) {}

  @Override
  public List<Path> files() {
    return List.of(out);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    try (Backend backend = Backends.best();
        Sae first = Sae.load(a, backend);
        Sae second = Sae.load(b, backend)) {
      Matched matched =
          new Matched(
              match(first, second, Directions.DECODER),
              match(first, second, Directions.ENCODER),
              strict ? Metrics.matchingAgreement(first, second, threshold) : null,
              neurons(first, second, Directions.DECODER),
              neurons(first, second, Directions.ENCODER));
      Agreement agreement = matched.agreement();
      SharedFeatures shared = matched.decoder();
      common.write(
          out,
          matched,
          String.format(
              Locale.ROOT,
              "shared features (cosine > %s): matched %.4f, top-1 %.4f of a and %.4f of b%s",
              threshold,
              shared.matched(),
              shared.topOneA(),
              shared.topOneB(),
              agreement == null
                  ? ""
                  : String.format(
                      Locale.ROOT,
                      "%nby encoder and decoder together: matchings agree on %.4f, shared by both"
                          + " %.4f",
                      agreement.agreeing(),
                      agreement.sharedByBoth())));
    }
    return 0;
  }

  private @Nullable Neurons neurons(Sae first, Sae second, Directions directions) {
    boolean oneShape = first.config().dSae() == second.config().dSae();
    return strict && oneShape
        ? Metrics.sharedNeurons(first, second, new SharedFeatures.Options(directions, threshold))
        : null;
  }

  private SharedFeatures match(Sae first, Sae second, Directions directions) {
    int latents = Math.min(first.config().dSae(), second.config().dSae());
    String task = directions.name().toLowerCase(Locale.ROOT);
    try (WorkProgress progress = common.progress(task, "latents", latents)) {
      return Metrics.sharedFeatures(
          first, second, new SharedFeatures.Options(directions, threshold, progress::at));
    }
  }
}
