package io.faithfulsae.cli;

import picocli.CommandLine.Option;

/** How a model's next token is drawn. */
final class SamplingOptions {
  @Option(
      names = "--temperature",
      paramLabel = "X",
      defaultValue = "1",
      description = "Default: ${DEFAULT-VALUE}.")
  double temperature;

  @Option(
      names = "--top-p",
      paramLabel = "X",
      defaultValue = "1",
      description = "Default: ${DEFAULT-VALUE}.")
  double topP;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Default: ${DEFAULT-VALUE}.")
  long seed;
}
