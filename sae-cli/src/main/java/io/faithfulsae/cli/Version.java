package io.faithfulsae.cli;

import io.faithfulsae.study.provenance.Provenance;
import picocli.CommandLine.IVersionProvider;

/** The program's version, for {@code --version}. */
final class Version implements IVersionProvider {
  @Override
  public String[] getVersion() {
    return new String[] {"sae " + Provenance.programVersion()};
  }
}
