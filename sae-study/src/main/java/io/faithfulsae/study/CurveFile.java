package io.faithfulsae.study;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.study.ModelResults.CurvePoint;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.training.TrainingProgress;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * Stores points of a training curve in a file, so that a resumed training has the whole curve.
 * Steps that are trained again are written again; a step's last line counts.
 */
final class CurveFile implements Consumer<TrainingProgress> {
  private static final int POINTS = 200;

  private final Path file;

  CurveFile(Path file) {
    this.file = file;
  }

  @Override
  public void accept(TrainingProgress now) {
    long every = Math.max(1, now.steps() / POINTS);
    if (now.step() % every != 0 && now.step() != 1 && now.step() != now.steps()) {
      return;
    }
    CurvePoint point = new CurvePoint(now.step(), now.loss(), now.fvu(), now.dead());
    try {
      Files.writeString(
          file, Json.line(point) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  List<CurvePoint> points() throws IOException {
    TreeMap<Long, CurvePoint> byStep = new TreeMap<>();
    for (String line : RegularFile.readString(file).lines().toList()) {
      parse(line).ifPresent(point -> byStep.put(point.step(), point));
    }
    return List.copyOf(byStep.values());
  }

  /** Empty for a line truncated when the process was killed; its step is trained again. */
  private static Optional<CurvePoint> parse(String line) {
    try {
      return Optional.of(Json.mapper().readValue(line, CurvePoint.class));
    } catch (JsonProcessingException e) {
      return Optional.empty();
    }
  }
}
