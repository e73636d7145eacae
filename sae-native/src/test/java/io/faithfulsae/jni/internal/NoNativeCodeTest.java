package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Backends;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider.Availability;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** A platform for which the jar has no native code, as JavaCPP's own property makes it believe. */
class NoNativeCodeTest {
  private static final String MISSING =
      "expected native code for macosx-arm64, got none; use Linux on x86-64,"
          + " or the java backend";

  /** The main class of the other process. */
  static final class Main {
    private Main() {}

    public static void main(String[] args) {
      Logger.getLogger(Backends.class.getName()).addHandler(new Printer());
      for (Availability each : Backends.probe()) {
        System.out.println(each.name() + " " + each.usable());
      }
      try (Backend backend = Backends.best();
          Sae sae = Sae.create(SaeConfig.topK(3, 8, 2), backend)) {
        System.out.println(backend.info().name() + " has " + sae.config().dSae() + " latents");
      }
    }
  }

  /** Prints warnings. */
  private static final class Printer extends Handler {
    @Override
    public void publish(LogRecord entry) {
      if (entry.getLevel().intValue() >= Level.WARNING.intValue()) {
        System.out.println(entry.getMessage());
      }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }

  @Test
  void theJavaBackendRunsAndALineSaysWhatIsMissing() throws Exception {
    String platform = "-Dorg.bytedeco.javacpp.platform=macosx-arm64";
    String classPath = System.getProperty("java.class.path");
    assertEquals(
        List.of(
            "cuda false",
            "cpu false",
            "java true",
            "backend java is slow; a faster one is missing: cuda ("
                + MISSING
                + "); cpu ("
                + MISSING
                + "); see docs/backends.md",
            "java has 8 latents"),
        OtherProcess.run(Main.class, classPath, List.of(platform)).lines().toList());
  }

  /** Here the native code is used, and forcing the other backend works as well. */
  @Test
  void elsewhereItIsTheLastChoice() throws Exception {
    String classPath = System.getProperty("java.class.path");
    List<String> lines =
        OtherProcess.run(Main.class, classPath, List.of("-Dsae.backend=java")).lines().toList();
    assertTrue(lines.containsAll(List.of("cpu true", "java true")), lines.toString());
    assertEquals("java has 8 latents", lines.get(lines.size() - 1));
    assertEquals(4, lines.size(), "no warning: " + lines);
  }
}
