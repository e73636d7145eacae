package io.faithfulsae.cli.doctor;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendProvider.Availability;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.study.provenance.Json;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The backends on the class path: each is opened. */
final class BackendChecks {
  private static final Path NVIDIA_DRIVER = Path.of("/proc/driver/nvidia/version");

  private static final List<String> SHOWN = List.of("isa", "screen", "threads", "blas");

  private BackendChecks() {}

  static List<Finding> backends() {
    return backends(
        Backends.probe(),
        Files.exists(NVIDIA_DRIVER),
        HostChecks.hasNativeCode(HostChecks.system()));
  }

  /**
   * @param gpu whether this machine has an NVIDIA GPU
   * @param nativeCode whether there should be native code for it
   */
  static List<Finding> backends(List<Availability> providers, boolean gpu, boolean nativeCode) {
    List<Finding> found = new ArrayList<>();
    boolean another = providers.stream().anyMatch(Availability::usable);
    for (Availability provider : providers) {
      found.add(
          provider.usable()
              ? opened(provider.name())
              : unusable(provider, gpu, another && !nativeCode));
    }
    if (!another) {
      found.add(
          Finding.problem(
              "backends", "none that can run here", "add io.faithfulsae:sae-native, see above"));
    }
    return found;
  }

  private static Finding opened(String name) {
    String what = "backend " + name;
    try (Backend backend = Backends.open(name)) {
      return opened(what, backend.info());
    } catch (BackendUnavailableException | BackendException | IllegalArgumentException e) {
      return Finding.problem(
          what, String.valueOf(e.getMessage()), "see the reason, or use another backend");
    }
  }

  /** The native backends describe themselves in JSON, others as they like. */
  static Finding opened(String what, Backend.Info info) {
    JsonNode details;
    try {
      details = Json.mapper().readTree(info.details());
    } catch (JsonProcessingException e) {
      return Finding.ok(what, info.device() + ", " + info.details());
    }
    String found =
        Stream.concat(
                Stream.of(info.device()),
                SHOWN.stream()
                    .filter(details::has)
                    .map(key -> key + " " + details.path(key).asText()))
            .collect(Collectors.joining(", "));
    return details.path("blas").asText().equals("built-in")
        ? Finding.note(
            what, found, "several times slower without a BLAS: add org.bytedeco:openblas")
        : Finding.ok(what, found);
  }

  /** A backend for a device that this machine lacks is no problem. */
  private static Finding unusable(Availability provider, boolean gpu, boolean javaInstead) {
    String what = "backend " + provider.name();
    if (provider.name().equals("cuda")) {
      return gpu
          ? Finding.problem(what, provider.reason(), "this machine's NVIDIA GPU is not used")
          : Finding.note(what, provider.reason(), "needs an NVIDIA GPU and its driver");
    }
    return javaInstead
        ? Finding.note(what, provider.reason(), "the java backend works here, but is slower")
        : Finding.problem(what, provider.reason(), "see the reason");
  }
}
