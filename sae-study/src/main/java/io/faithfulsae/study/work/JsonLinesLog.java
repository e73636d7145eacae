package io.faithfulsae.study.work;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.training.TrainingProgress;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Steps of a training run as JSON lines. */
final class JsonLinesLog implements TrainingLog {
  private final Path file;
  private final List<String> earlier; // lines of a run that may be resumed
  private @Nullable AppendedFile out; // null before the first step
  private @Nullable IOException failure; // of the beginning

  private JsonLinesLog(Path file, List<String> earlier) {
    this.file = file;
    this.earlier = earlier;
  }

  static JsonLinesLog open(Path file) throws IOException {
    if (Files.exists(file)) { // an unreadable file is an error before the run, not after
      return new JsonLinesLog(file, RegularFile.readString(file).lines().toList());
    }
    Path parent = file.toAbsolutePath().getParent();
    if (parent != null) {
      Files.createDirectories(parent);
    }
    return new JsonLinesLog(file, List.of());
  }

  @Override
  public void accept(TrainingProgress progress) {
    if (failure != null) {
      return;
    }
    if (out == null) {
      try {
        out = begin(progress.step());
      } catch (IOException e) {
        failure = e;
        return;
      }
    }
    out.write((line(progress) + "\n").getBytes(StandardCharsets.UTF_8));
  }

  private AppendedFile begin(long step) throws IOException {
    if (!earlier.isEmpty()) {
      AtomicFile.writeString(
          file,
          earlier.stream()
              .filter(line -> stepOf(line) < step)
              .map(line -> line + "\n")
              .collect(Collectors.joining()));
    }
    return AppendedFile.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** The step of a line; a line that a killed process left incomplete is dropped. */
  private static long stepOf(String line) {
    try {
      return Json.mapper().readTree(line).path("step").asLong(Long.MAX_VALUE);
    } catch (JsonProcessingException e) {
      return Long.MAX_VALUE;
    }
  }

  private static String line(TrainingProgress now) {
    ObjectNode line =
        Json.mapper()
            .createObjectNode()
            .put("step", now.step())
            .put("steps", now.steps())
            .put("tokens", now.tokens())
            .put("loss", now.loss())
            .put("fvu", now.fvu())
            .put("l0", now.l0())
            .put("dead", now.dead())
            .put("tokens_per_second", now.tokensPerSecond());
    return Json.line(line);
  }

  @Override
  public void close() throws IOException {
    if (out != null) {
      out.close();
    }
    if (failure != null) {
      throw failure;
    }
  }
}
