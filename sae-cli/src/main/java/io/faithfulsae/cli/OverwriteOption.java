package io.faithfulsae.cli;

import picocli.CommandLine.Option;

/** Whether a finished result may be replaced. */
final class OverwriteOption {
  @Option(names = "--overwrite", description = "Replace a finished result. Default: fail.")
  boolean allowed;
}
