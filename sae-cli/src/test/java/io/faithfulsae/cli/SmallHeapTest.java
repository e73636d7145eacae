package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Commands whose data are larger than the heap. */
final class SmallHeapTest {
  private static final int ROWS = 300_000;
  private static final int D_IN = 16;
  private static final int K = 32;

  @TempDir Path dir;

  @Test
  void encodingNeedsNoHeapForTheLatents() throws IOException, InterruptedException {
    Path in = Files.createDirectory(dir.resolve("in"));
    Path rows = Tiny.activations(in.resolve("rows.safetensors"), ROWS, D_IN);
    Path sae = dir.resolve("sae");
    Tiny.sae(
            "train",
            "--activations",
            in,
            "--d-sae",
            64,
            "--k",
            K,
            "--tokens",
            2_000,
            "--batch",
            500,
            "--out",
            sae)
        .ok();
    Path out = Files.createDirectory(dir.resolve("out")).resolve("latents.safetensors");
    assertTrue(8L * ROWS * K > 48L << 20, "more latents than heap");
    run("-Xmx48m", "encode", "--sae", sae, "--activations", rows, "--out", out);
    try (Safetensors written = Safetensors.open(out);
        Stream<Path> files = Files.list(dir.resolve("out"))) {
      assertEquals(List.of((long) ROWS, (long) K), written.entry("indices").shape());
      assertEquals(List.of(out), files.toList(), "and nothing else is left");
    }
  }

  private static void run(String heap, Object... args) throws IOException, InterruptedException {
    List<String> command =
        Stream.concat(
                Stream.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    heap,
                    "-XX:TieredStopAtLevel=1",
                    "-cp",
                    System.getProperty("java.class.path"),
                    SaeCommand.class.getName()),
                Stream.of(args).map(String::valueOf))
            .toList();
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
  }
}
