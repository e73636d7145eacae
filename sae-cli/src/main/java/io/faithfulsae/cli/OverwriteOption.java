package io.faithfulsae.cli;

import picocli.CommandLine.Option;

/** Whether a finished result may be replaced. */
final class OverwriteOption {
  @Option(names = "--overwrite", description = "Replace a finished result in --out. Default: fail.")
  boolean allowed;
}
