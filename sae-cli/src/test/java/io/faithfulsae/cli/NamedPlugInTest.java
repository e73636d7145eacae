package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class NamedPlugInTest {
  @TempDir Path dir;

  @Test
  void theArgumentStartsAfterTheFirstColon() {
    assertEquals(new NamedPlugIn("csv", "C:/rows:1.csv"), NamedPlugIn.of("csv:C:/rows:1.csv"));
    assertEquals(new NamedPlugIn("csv", ""), NamedPlugIn.of("csv"));
  }

  @Test
  void whatAProviderThrowsNamesItsClassAndJar() throws IOException {
    Path services = Files.createDirectories(dir.resolve("META-INF/services"));
    Files.writeString(
        services.resolve(ActivationSource.Provider.class.getName()), Throwing.class.getName());
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    try (URLClassLoader jar = new URLClassLoader(new URL[] {dir.toUri().toURL()}, before)) {
      Thread.currentThread().setContextClassLoader(jar);
      assertEquals(
          "sae train: expected "
              + Services.origin(new Throwing())
              + " to open \"bug\", got java.lang.ArithmeticException: / by zero; report it to the"
              + " author of that class, or remove its jar from the class path",
          train("throwing:bug"));
      assertEquals("sae train: no such thing", train("throwing:argument"));
      assertEquals("sae train: gone: no such file or folder", train("throwing:gone"));
      assertTrue(train("another").startsWith("sae train: expected one of the installed sources ["));
    } finally {
      Thread.currentThread().setContextClassLoader(before);
    }
  }

  private String train(String source) {
    Tiny.Ran ran =
        Tiny.sae(
            "train",
            "--source",
            source,
            "--d-sae",
            8,
            "--k",
            2,
            "--tokens",
            9_000,
            "--out",
            dir.resolve("o"));
    assertTrue(ran.code() != 0);
    return ran.err().lines().findFirst().orElse("");
  }

  @Test
  void twoSourcesAreAUsageError() {
    Tiny.Ran ran =
        Tiny.sae(
            "train",
            "--source",
            "x",
            "--activations",
            dir,
            "--d-sae",
            8,
            "--k",
            2,
            "--tokens",
            9_000,
            "--out",
            dir);
    assertEquals(2, ran.code());
    assertTrue(
        ran.err().contains("expected --activations, --source, or --model, --hook, --data and"));
    assertThrows(IllegalStateException.class, () -> NamedPlugIn.of("x").opened(this, this::fails));
  }

  private String fails() {
    throw new UnsupportedOperationException();
  }

  /** Throws what the argument says. */
  public static final class Throwing implements ActivationSource.Provider {
    @Override
    public String name() {
      return "throwing";
    }

    @Override
    public ActivationSource open(String argument) throws IOException {
      switch (argument) {
        case "bug" -> throw new ArithmeticException("/ by zero");
        case "gone" -> throw new NoSuchFileException(argument);
        default -> throw new IllegalArgumentException("no such thing");
      }
    }
  }
}
