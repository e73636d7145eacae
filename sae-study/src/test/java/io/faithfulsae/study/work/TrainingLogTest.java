package io.faithfulsae.study.work;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.training.TrainingProgress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TrainingLogTest {
  /**
   * What tensorboard 2.20 writes (RecordWriter over Event.SerializeToString) of a file version, a
   * session log that starts at step 7, and two scalars.
   */
  private static final String OF_TENSORBOARD =
      "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
          + "0f000000000000006d532b0909000000000000f83f10073a020801774771c7"
          + "33000000000000000ca7205609000000000000044010072a260a110a0a747261696e2f6c6f7373150000803e"
          + "0a110a0a747261696e2f6465616415000000004b877a94";

  @TempDir Path dir;

  private static TrainingProgress at(long step, double loss) {
    return new TrainingProgress(step, 10, step * 64, loss, 0.5, 4, 3, 100, Duration.ofSeconds(1));
  }

  @Test
  void recordsAreThoseOfTensorBoard() throws IOException {
    Map<String, Double> scalars = new LinkedHashMap<>();
    scalars.put("train/loss", 0.25);
    scalars.put("train/dead", 0.0);
    Instant first = Instant.ofEpochMilli(1500);
    ByteArrayOutputStream ours = new ByteArrayOutputStream();
    ours.write(
        TensorBoardLog.record(
            TensorBoardLog.event(first, 0, 3, out -> out.writeStringNoTag("brain.Event:2"))));
    ours.write(TensorBoardLog.record(TensorBoardLog.start(first, 7)));
    ours.write(
        TensorBoardLog.record(TensorBoardLog.scalars(Instant.ofEpochMilli(2500), 7, scalars)));
    assertArrayEquals(HexFormat.of().parseHex(OF_TENSORBOARD), ours.toByteArray());
  }

  @Test
  void anEventFileHasARecordForEachStep() throws IOException {
    try (TrainingLog log = TrainingLog.tensorBoard(dir.resolve("tb"))) {
      log.accept(at(1, 3));
      log.accept(at(2, 2));
    }
    byte[] bytes;
    try (Stream<Path> files = Files.list(dir.resolve("tb"))) {
      Path file = files.findFirst().orElseThrow();
      assertTrue(file.getFileName().toString().startsWith("events.out.tfevents."));
      bytes = Files.readAllBytes(file);
    }
    ByteBuffer records = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int count = 0;
    for (; records.hasRemaining(); count++) {
      int length = (int) records.getLong();
      records.position(records.position() + 4 + length + 4);
    }
    assertEquals(4, count); // version, start, two steps
  }

  @Test
  void aLineForEachStep() throws IOException {
    Path file = dir.resolve("new/log.jsonl");
    try (TrainingLog log = TrainingLog.jsonLines(file)) {
      log.accept(at(1, 3));
      log.accept(at(2, 2.5));
    }
    List<String> lines = Files.readAllLines(file);
    assertEquals(2, lines.size());
    JsonNode second = new JsonMapper().readTree(lines.get(1));
    assertEquals(2, second.path("step").asLong());
    assertEquals(2.5, second.path("loss").asDouble());
    assertEquals(128, second.path("tokens").asLong());
  }

  @Test
  void aStepThatIsDoneAgainReplacesItsLine() throws IOException {
    Path file = dir.resolve("log.jsonl");
    try (TrainingLog log = TrainingLog.jsonLines(file)) {
      for (int step = 1; step <= 4; step++) {
        log.accept(at(step, 10 - step));
      }
    }
    Files.writeString(file, "{\"step\": 5, \"lo", StandardOpenOption.APPEND); // killed here
    try (TrainingLog log = TrainingLog.jsonLines(file)) {
      log.accept(at(3, 0.5));
    }
    List<String> lines = Files.readAllLines(file);
    assertEquals(3, lines.size());
    assertTrue(lines.get(2).contains("\"loss\":0.5"), lines.get(2));
  }

  @Test
  void aFullDiskDoesNotStopTheTraining() throws IOException {
    Path full = Path.of("/dev/full");
    Assumptions.assumeTrue(Files.exists(full));
    AppendedFile file = AppendedFile.open(full, StandardOpenOption.WRITE);
    for (int i = 0; i < 10_000; i++) {
      file.write(new byte[100]);
    }
    IOException failure = assertThrows(IOException.class, file::close);
    assertTrue(failure.getMessage().contains("/dev/full"), failure.getMessage());
  }
}
