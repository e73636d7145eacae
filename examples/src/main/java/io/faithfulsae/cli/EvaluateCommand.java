package io.faithfulsae.cli;

import io.faithfulsae.ActivationSources;
import io.faithfulsae.Metrics;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.CrossEntropy;
import io.faithfulsae.metrics.Reconstruction;
import io.faithfulsae.study.ModelResults.Evaluation;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae evaluate}: reconstruction and cross entropy on a text. */
@Command(
    name = "evaluate",
    description =
        "Measures an SAE's reconstruction, L0, density, dead latents and its cost in cross entropy on a text.")
final class EvaluateCommand implements Callable<Integer> {
  @Mixin CommonOptions common;
  @Mixin SaeOnModel place;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      required = true,
      description = "Text that the SAE was not trained on: " + TextReading.FORMATS)
  Path data;

  @Option(
      names = "--rows",
      paramLabel = "N",
      defaultValue = "100000",
      description = "Rows for the reconstruction, at most (default: ${DEFAULT-VALUE}).")
  long rows;

  @Option(
      names = "--ce-tokens",
      paramLabel = "N",
      defaultValue = "20000",
      description = "Tokens for the cross entropy, at most (default: ${DEFAULT-VALUE}).")
  long ceTokens;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write.")
  Path out;

  @Override
  public Integer call() throws IOException {
    try (SaeOnModel.Opened on = place.open()) {
      TokenSource text = on.text(data);
      Reconstruction reconstruction =
          Metrics.reconstruction(
              on.sae(),
              ActivationSources.ofModel(
                  on.model(), on.hook(), text, on.filter(), place.models.batchSequences),
              rows);
      CrossEntropy crossEntropy =
          Metrics.crossEntropy(on.sae(), on.model(), on.hook(), text, on.filter(), ceTokens);
      common.write(
          out,
          new Evaluation(reconstruction, crossEntropy),
          String.format(
              Locale.ROOT,
              "explained variance %.4f (scalar form %.4f), L2 %.4g, L0 %.1f, dead %.1f %%%nCE difference %.4f nats, loss recovered %.4f",
              reconstruction.explainedVariance(),
              reconstruction.scalarExplainedVariance(),
              reconstruction.l2(),
              reconstruction.l0(),
              100 * reconstruction.deadShare(),
              crossEntropy.difference(),
              crossEntropy.lossRecovered()));
    }
    return 0;
  }
}
