package io.faithfulsae.study.work;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.training.TrainingProgress;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Steps of a training run as JSON lines. */
final class JsonLinesLog implements TrainingLog {
  private static final JsonMapper JSON = new JsonMapper();

  private final Path file;
  private @Nullable AppendedFile out; // null before the first step
  private @Nullable IOException failure; // of the beginning

  private JsonLinesLog(Path file) {
    this.file = file;
  }

  static JsonLinesLog open(Path file) throws IOException {
    if (Files.exists(file)) {
      Files.readString(file); // an unreadable or binary file is an error before the run, not after
    } else {
      Path parent = file.toAbsolutePath().getParent();
      if (parent != null) {
        Files.createDirectories(parent);
      }
    }
    return new JsonLinesLog(file);
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
    if (Files.exists(file)) {
      List<String> kept =
          Files.readAllLines(file).stream().filter(line -> stepOf(line) < step).toList();
      AtomicFile.writeString(file, kept.isEmpty() ? "" : String.join("\n", kept) + "\n");
    }
    return AppendedFile.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** The step of a line; a line that a killed process left incomplete is dropped. */
  private static long stepOf(String line) {
    try {
      return JSON.readTree(line).path("step").asLong(Long.MAX_VALUE);
    } catch (JsonProcessingException e) {
      return Long.MAX_VALUE;
    }
  }

  private static String line(TrainingProgress now) {
    ObjectNode line =
        JSON.createObjectNode()
            .put("step", now.step())
            .put("steps", now.steps())
            .put("tokens", now.tokens())
            .put("loss", now.loss())
            .put("fvu", now.fvu())
            .put("l0", now.l0())
            .put("dead", now.dead())
            .put("tokens_per_second", now.tokensPerSecond());
    return line.toString();
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
