package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TrainingLogCommandTest {
  @TempDir Path dir;

  @Test
  void trainLogsEachStep() throws IOException {
    Path log = dir.resolve("log.jsonl");
    Path events = dir.resolve("events");
    sae(
            "train",
            "--activations",
            Tiny.shards(dir.resolve("shards")),
            "--d-sae",
            32,
            "--k",
            4,
            "--batch",
            100,
            "--tokens",
            1_000,
            "--log",
            log,
            "--tensorboard",
            events,
            "--out",
            dir.resolve("sae"))
        .ok();
    List<String> lines = Files.readAllLines(log);
    assertEquals(10, lines.size());
    assertTrue(lines.get(9).startsWith("{\"step\":10,\"steps\":10,\"tokens\":1000,\"loss\":"));
    try (Stream<Path> files = Files.list(events)) {
      assertEquals(1, files.count());
    }
  }
}
