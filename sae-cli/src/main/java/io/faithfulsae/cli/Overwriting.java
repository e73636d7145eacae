package io.faithfulsae.cli;

import picocli.CommandLine.Option;

/** Whether a finished result may be replaced. */
final class Overwriting {
  @Option(
      names = "--overwrite",
      description = "Replace a finished result that --out names. Default: that is refused.")
  boolean allowed;
}
