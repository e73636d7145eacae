package io.faithfulsae.study.provenance;

import io.faithfulsae.random.Rng;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/**
 * What produced a result.
 *
 * @param version of this program
 * @param java version and vendor of the Java runtime
 * @param os operating system and architecture
 * @param random the random generator
 * @param backend that the SAEs ran on
 */
public record Provenance(
    String version, String java, String os, String random, Backend.Info backend) {

  /** This process, with a backend. */
  public static Provenance of(Backend backend) {
    return new Provenance(
        programVersion(),
        System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")",
        System.getProperty("os.name") + " " + System.getProperty("os.arch"),
        Rng.ALGORITHM,
        backend.info());
  }

  /** The version of the build. */
  public static String programVersion() {
    Properties properties = new Properties();
    try (InputStream in =
        Provenance.class.getResourceAsStream("/io/faithfulsae/version.properties")) {
      properties.load(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return properties.getProperty("version");
  }
}
