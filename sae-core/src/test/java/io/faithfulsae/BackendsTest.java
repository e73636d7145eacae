package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.Services;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

class BackendsTest {

  private record Fake(
      String name, int priority, Supplier<Availability> answer, Supplier<Backend> opener)
      implements BackendProvider {
    @Override
    public Availability probe() {
      return answer.get();
    }

    @Override
    public Backend open() {
      return opener.get();
    }
  }

  /** Opens a backend that is recognised by its identity. */
  private static Fake usable(String name, int priority, Backend backend) {
    return new Fake(
        name,
        priority,
        () -> new BackendProvider.Availability(name, true, name + " device"),
        () -> backend);
  }

  private static Fake unusable(String name, int priority, String reason) {
    return new Fake(
        name,
        priority,
        () -> new BackendProvider.Availability(name, false, reason),
        () -> {
          throw new AssertionError("opened though it said that it cannot run");
        });
  }

  private final Backend slow = new ReferenceBackend();
  private final Backend fast = new ReferenceBackend();

  @Test
  void highestPriorityThatCanRunIsTaken() {
    BackendProvider cpu = usable("cpu", 0, slow);
    assertEquals(fast, Backends.best(List.of(cpu, usable("cuda", 100, fast)), null));
    assertEquals(slow, Backends.best(List.of(unusable("cuda", 100, "no GPU"), cpu), null));
  }

  @Test
  void optionsAreRejectedByABackendThatTakesNone() {
    BackendProvider cpu = usable("cpu", 0, slow);
    assertEquals(slow, cpu.open(""));
    BackendUnavailableException rejected =
        assertThrows(BackendUnavailableException.class, () -> cpu.open("device=1"));
    assertEquals(
        "expected no options for backend \"cpu\", got device=1; open it without",
        rejected.getMessage());
  }

  @Test
  void forcedBackendIsTakenOrRejectedWithEveryReason() {
    List<BackendProvider> providers =
        List.of(usable("cpu", 0, slow), unusable("cuda", 100, "no driver"));
    assertEquals(
        slow, Backends.best(List.of(usable("cpu", 0, slow), usable("cuda", 100, fast)), "cpu"));
    BackendUnavailableException rejected =
        assertThrows(BackendUnavailableException.class, () -> Backends.best(providers, "cuda"));
    assertEquals(
        "expected backend \"cuda\", got cuda (no driver); cpu (usable: cpu device); see its"
            + " reason, or ask for another with -Dsae.backend=NAME",
        rejected.getMessage());
    BackendUnavailableException unknown =
        assertThrows(BackendUnavailableException.class, () -> Backends.open(providers, "tpu"));
    assertTrue(
        String.valueOf(unknown.getMessage())
            .startsWith("expected backend \"tpu\", got cuda (no driver); cpu"));
  }

  @Test
  void noneUsableSaysWhyForEach() {
    List<BackendProvider> providers =
        List.of(unusable("cpu", 0, "no library"), unusable("cuda", 100, "no driver"));
    BackendUnavailableException e =
        assertThrows(BackendUnavailableException.class, () -> Backends.best(providers, null));
    assertEquals(
        "expected a backend that can run here, got cuda (no driver); cpu (no library); see"
            + " each reason",
        e.getMessage());
  }

  @Test
  void noProviderNamesTheDependency() {
    BackendUnavailableException e =
        assertThrows(BackendUnavailableException.class, () -> Backends.best(List.of(), null));
    assertTrue(
        String.valueOf(e.getMessage()).contains("io.faithfulsae:sae-native"), e.getMessage());
  }

  @Test
  void providerThatThrowsIsARejectionNotACrash() {
    BackendProvider broken =
        new Fake(
            "cuda",
            100,
            () -> {
              throw new UnsatisfiedLinkError("libsae.so: cannot open");
            },
            () -> fast);
    BackendProvider cpu = usable("cpu", 0, slow);
    assertEquals(slow, Backends.best(List.of(broken, cpu), null));
    assertTrue(
        Backends.probe(List.of(cpu, broken)).get(0).reason().contains("libsae.so: cannot open"));
  }

  @Test
  void backendThatFailsToOpenGivesWayToTheNext() {
    BackendProvider broken =
        new Fake(
            "cuda",
            100,
            () -> new BackendProvider.Availability("cuda", true, "H200"),
            () -> {
              throw new BackendUnavailableException("out of device memory");
            });
    assertEquals(slow, Backends.best(List.of(broken, usable("cpu", 0, slow)), null));
    BackendUnavailableException e =
        assertThrows(BackendUnavailableException.class, () -> Backends.best(List.of(broken), null));
    assertTrue(
        String.valueOf(e.getMessage()).contains("cuda (out of device memory)"), e.getMessage());
  }

  @Test
  void backendWhoseProviderThrowsSomethingElseIsNamedWithItsJar() {
    Fake broken =
        new Fake(
            "tpu",
            100,
            () -> new BackendProvider.Availability("tpu", true, "a TPU"),
            () -> {
              throw new ArithmeticException("/ by zero");
            });
    assertEquals(slow, Backends.best(List.of(broken, usable("cpu", 0, slow)), null));
    BackendUnavailableException e =
        assertThrows(
            BackendUnavailableException.class, () -> Backends.open(List.of(broken), "tpu"));
    assertEquals(
        "expected "
            + Services.origin(broken)
            + " to open its backend, got java.lang.ArithmeticException: / by zero; report it to"
            + " the author of that class, or remove its jar from the class path",
        e.getMessage());
  }

  @Test
  void twoOfOneNameAreBothNamed() {
    List<BackendProvider> providers = List.of(usable("cpu", 0, slow), usable("cpu", 0, fast));
    String message =
        assertThrows(BackendUnavailableException.class, () -> Backends.open(providers, "cpu"))
            .getMessage();
    assertTrue(message.startsWith("expected one Backend \"cpu\", got " + Fake.class.getName()));
    assertTrue(message.endsWith("; remove one of them from the class path"), message);
  }

  /** Someone who waits for a slow run must be able to see why. */
  @Test
  void aFallbackSaysWhatIsMissing() {
    List<String> warnings = new ArrayList<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord entry) {
            if (entry.getLevel().equals(Level.WARNING)) {
              warnings.add(entry.getMessage());
            }
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger log = Logger.getLogger(Backends.class.getName());
    log.addHandler(handler);
    try {
      BackendProvider java = usable("java", -100, slow);
      for (int time = 0; time < 2; time++) {
        assertEquals(
            slow, Backends.best(List.of(java, unusable("cpu", 0, "no library for m68k")), null));
      }
      assertEquals(slow, Backends.best(List.of(java), null));
      assertEquals(fast, Backends.best(List.of(java, usable("cpu", 0, fast)), null));
      assertEquals(slow, Backends.best(List.of(java, usable("cpu", 0, fast)), "java"));
    } finally {
      log.removeHandler(handler);
    }
    assertEquals(
        List.of(
            "backend java is slow; a faster one is missing: cpu (no library for m68k); see"
                + " docs/backends.md",
            "backend java is slow; a faster one is missing: no backend on the class path (add the"
                + " dependency io.faithfulsae:sae-native); see docs/backends.md"),
        warnings);
  }
}
