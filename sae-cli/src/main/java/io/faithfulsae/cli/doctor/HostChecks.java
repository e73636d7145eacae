package io.faithfulsae.cli.doctor;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;

/** The Java runtime, the processor, memory and folders. */
final class HostChecks {
  private static final long SMALL_HEAP = 256L << 20;
  private static final long SMALL_DISK = 2L << 30;

  private HostChecks() {}

  static List<Finding> java() {
    String found =
        System.getProperty("java.version")
            + ", "
            + System.getProperty("java.vendor")
            + ", at most "
            + bytes(Runtime.getRuntime().maxMemory())
            + " of heap";
    return List.of(
        Runtime.getRuntime().maxMemory() < SMALL_HEAP
            ? Finding.note(
                "Java", found, "weights are outside the heap; still, allow 256 MiB: -Xmx256m")
            : Finding.ok("Java", found));
  }

  static List<Finding> processor() throws IOException {
    String system = system();
    int threads = Runtime.getRuntime().availableProcessors();
    Path file = Path.of("/proc/cpuinfo");
    String model = "";
    Set<String> units = new LinkedHashSet<>();
    if (Files.isReadable(file)) {
      List<String> lines = Files.readAllLines(file);
      model = value(lines, "model name");
      List<String> flags = List.of(value(lines, "flags").split(" "));
      Stream.of("avx2", "avx512f", "avx512_bf16", "amx_bf16")
          .filter(flags::contains)
          .forEach(units::add);
    }
    String found =
        system
            + (model.isEmpty() ? "" : ", " + model)
            + ", threads: "
            + threads
            + (units.isEmpty() ? "" : ", " + String.join(" ", units));
    return List.of(processor(system, found));
  }

  /** Elsewhere than on Linux on x86-64, the backend in plain Java works. */
  static Finding processor(String system, String found) {
    return hasNativeCode(system)
        ? Finding.ok("processor", found)
        : Finding.note(
            "processor",
            found,
            "the fast backends are for Linux on x86-64: run it there, or in a container");
  }

  /** Operating system and processor, as Java names them. */
  static String system() {
    return System.getProperty("os.name") + " " + System.getProperty("os.arch");
  }

  /** Whether the jar has native code for it. */
  static boolean hasNativeCode(String system) {
    return system.equals("Linux amd64");
  }

  private static String value(List<String> lines, String key) {
    return lines.stream()
        .filter(line -> line.startsWith(key))
        .findFirst()
        .map(line -> line.substring(line.indexOf(':') + 1).strip())
        .orElse("");
  }

  static List<Finding> memory() {
    if (!(ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system)) {
      return List.of();
    }
    return List.of(
        Finding.ok(
            "memory",
            bytes(system.getTotalMemorySize())
                + ", "
                + bytes(system.getFreeMemorySize())
                + " of it unused"));
  }

  static List<Finding> folders(Path home) {
    List<Finding> found = new ArrayList<>();
    found.add(
        folder(
            "home folder",
            home,
            "the bundled model is unpacked there; name another with -Duser.home=DIR before -jar"));
    Path temporary = Path.of(System.getProperty("java.io.tmpdir"));
    found.add(
        folder("temporary folder", temporary, "name one with -Djava.io.tmpdir=DIR before -jar"));
    return found;
  }

  private static Finding folder(String what, Path folder, String advice) {
    try {
      // Files.isWritable says yes to root on a file system that is mounted read-only.
      Files.delete(Files.createTempFile(folder, ".sae-doctor-", ".tmp"));
      long free = Files.getFileStore(folder).getUsableSpace();
      String found = folder + ", " + bytes(free) + " free";
      return free < SMALL_DISK
          ? Finding.note(what, found, "a study needs up to some GiB; `sae study --plan` says them")
          : Finding.ok(what, found);
    } catch (IOException e) {
      return Finding.problem(what, "cannot write to " + folder + ": " + e, advice);
    }
  }

  static String bytes(long count) {
    return String.format(Locale.ROOT, "%.1f GiB", count / (double) (1L << 30));
  }
}
