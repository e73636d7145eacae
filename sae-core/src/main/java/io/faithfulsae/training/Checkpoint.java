package io.faithfulsae.training;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.internal.NonFiniteException;
import io.faithfulsae.internal.RowBuffer.Mark;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Entry;
import io.faithfulsae.random.Rng;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.State;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Everything needed to resume a run: parameters, optimizer state, position in the stream of rows,
 * and the run's configuration. Stored as one safetensors file, {@code checkpoint-STEP.safetensors},
 * with the fields of this record in its metadata.
 */
record Checkpoint(
    long step,
    SaeConfig sae,
    TrainingConfig training,
    String source,
    String backend,
    double activationScale,
    Mark mark) {
  /** Starting position of a new run. */
  static final Mark START = Mark.START;

  private static final String FORMAT = "faithfulsae-checkpoint-2";
  private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{1,18})\\.safetensors");
  private static final int CHUNK_BYTES = 16 << 20;
  private static final JsonMapper JSON = new JsonMapper();

  /** The checkpoints in a folder, newest first. */
  static List<Path> list(Path dir) throws IOException {
    try (Stream<Path> files = Files.list(dir)) {
      return files
          .filter(f -> NAME.matcher(f.getFileName().toString()).matches())
          .sorted(Comparator.comparingLong(Checkpoint::stepOf).reversed())
          .toList();
    }
  }

  static long stepOf(Path file) {
    Matcher matcher = NAME.matcher(file.getFileName().toString());
    if (!matcher.matches()) {
      throw new IllegalArgumentException(
          Expected.message("a checkpoint", file, "use checkpoint-STEP.safetensors"));
    }
    return Long.parseLong(matcher.group(1));
  }

  static Path file(Path dir, long step) {
    return dir.resolve("checkpoint-" + step + ".safetensors");
  }

  /**
   * Deletes all checkpoints in a folder except one, and temporary files left by a killed process.
   */
  static void deleteOthers(Path dir, long keptStep) throws IOException {
    for (Path file : list(dir)) {
      if (stepOf(file) != keptStep) {
        Files.deleteIfExists(file);
      }
    }
    try (DirectoryStream<Path> halfWritten = Files.newDirectoryStream(dir, ".checkpoint-*.tmp")) {
      for (Path file : halfWritten) {
        Files.deleteIfExists(file);
      }
    }
  }

  /**
   * Writes a temporary file and renames it.
   *
   * @throws NonFiniteException if a weight or moment is NaN or infinite; no file is written
   */
  void write(Path dir, BackendSae parameters, BackendTrainer trainer) throws IOException {
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    for (Tensor tensor : parameters.shape().tensors()) {
      tensors.add(
          new Safetensors.Tensor(
              tensor.name(),
              DType.F32,
              shape(tensor.name()),
              (first, chunk) -> {
                FloatBuffer floats = nativeOrder(chunk).asFloatBuffer();
                parameters.read(tensor, first, floats);
                NonFiniteException.check(tensor.name(), floats);
              }));
    }
    for (State state : states()) {
      tensors.add(
          new Safetensors.Tensor(
              state.name(),
              dtype(state),
              shape(state.name()),
              (first, chunk) -> {
                trainer.read(state, first, nativeOrder(chunk));
                if (dtype(state) == DType.F32) {
                  NonFiniteException.check(state.name(), chunk.asFloatBuffer());
                }
              }));
    }
    Safetensors.writeChecked(
        file(dir, step),
        Map.of(
            "format", FORMAT, "random", Rng.ALGORITHM, "checkpoint", JSON.writeValueAsString(this)),
        tensors);
  }

  /**
   * Rejects a run that used another random generator: its rows would be shuffled in a different
   * order after resuming.
   *
   * @param random the generator named in the file; empty if none
   * @throws IllegalArgumentException if it is not the one used by this version
   */
  static void checkRandom(Path file, String random) {
    if (!random.equals(Rng.ALGORITHM)) {
      throw new IllegalArgumentException(
          Expected.message(
              "%s to come from a run with random generator %s".formatted(file, Rng.ALGORITHM),
              random.isEmpty() ? "none (written by an old version)" : random,
              "train again in another folder, or resume with the version that wrote it"));
    }
  }

  /**
   * Reads a checkpoint's metadata and verifies the whole file, so that damage is detected.
   *
   * @throws IllegalArgumentException if it was written with another random generator
   */
  static Checkpoint read(Path file) throws IOException {
    try (Safetensors tensors = Safetensors.open(file)) {
      String format = tensors.metadata().getOrDefault("format", "nothing");
      if (!format.equals(FORMAT)) {
        throw new SaeFormatException(
            file, "format", Expected.message(FORMAT, format, "use the version that wrote it"));
      }
      checkRandom(file, tensors.metadata().getOrDefault("random", ""));
      tensors.verify();
      JsonNode facts = JSON.readTree(tensors.metadata().getOrDefault("checkpoint", "{}"));
      Checkpoint checkpoint = JSON.treeToValue(facts, Checkpoint.class);
      requireKnown(facts.path("training"), checkpoint.training());
      for (Tensor tensor : checkpoint.sae().shape().tensors()) {
        checkpoint.check(file, tensors.entry(tensor.name()), DType.F32);
      }
      for (State state : checkpoint.states()) {
        checkpoint.check(file, tensors.entry(state.name()), dtype(state));
      }
      if (checkpoint.step() != stepOf(file)) {
        throw new SaeFormatException(
            file,
            "step",
            Expected.message(
                "the step in the file name", checkpoint.step(), "restore the original name"));
      }
      return checkpoint;
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file,
          "checkpoint",
          Expected.message("valid JSON metadata", e.getOriginalMessage(), "the file is damaged"));
    }
  }

  /**
   * Rejects options that this version does not know. Jackson ignores them in unwrapped records, so
   * the run would silently continue without them.
   */
  static void requireKnown(JsonNode written, TrainingConfig read) throws JsonMappingException {
    JsonNode known = JSON.valueToTree(read);
    for (Iterator<String> names = written.fieldNames(); names.hasNext(); ) {
      String name = names.next();
      if (!known.has(name)) {
        throw new JsonMappingException(null, "unknown option \"" + name + "\" of training");
      }
    }
  }

  /** Loads a checkpoint's tensors into the backend. */
  void restore(Path file, BackendSae parameters, BackendTrainer trainer) throws IOException {
    try (Safetensors tensors = Safetensors.open(file)) {
      for (Tensor tensor : parameters.shape().tensors()) {
        forEachChunk(
            tensors,
            tensor.name(),
            (first, chunk) -> {
              FloatBuffer floats = chunk.asFloatBuffer();
              parameters.write(tensor, first, floats);
            });
      }
      for (State state : states()) {
        forEachChunk(tensors, state.name(), (first, chunk) -> trainer.write(state, first, chunk));
      }
    }
  }

  /**
   * Rejects resuming with another configuration; only the checkpoint interval may change.
   *
   * @throws IllegalArgumentException naming the first value that differs
   */
  void checkSame(Path file, SaeConfig otherSae, TrainingConfig otherTraining, String otherSource) {
    compare(file, JSON.valueToTree(sae), JSON.valueToTree(otherSae));
    compare(
        file,
        JSON.valueToTree(training.toBuilder().checkpointSteps(0).build()),
        JSON.valueToTree(otherTraining.toBuilder().checkpointSteps(0).build()));
    if (!source.equals(otherSource)) {
      throw new IllegalArgumentException(
          Expected.message(
              "the source of " + file + ", " + source, otherSource, "resume with the same data"));
    }
  }

  private static void compare(Path file, JsonNode was, JsonNode is) {
    TreeSet<String> names = new TreeSet<>();
    for (Iterator<String> it = was.fieldNames(); it.hasNext(); ) {
      names.add(it.next());
    }
    for (Iterator<String> it = is.fieldNames(); it.hasNext(); ) {
      names.add(it.next()); // left out of the other where it has its default
    }
    for (String name : names) {
      if (!was.path(name).equals(is.path(name))) {
        throw new IllegalArgumentException(
            Expected.message(
                "%s = %s as in %s".formatted(name, text(was.path(name)), file),
                text(is.path(name)),
                "resume with the run's own configuration, or start another run"));
      }
    }
  }

  private static String text(JsonNode value) {
    if (value.isMissingNode()) {
      return "its default";
    }
    return value.isValueNode() ? value.asText() : value.toString();
  }

  private void check(Path file, Entry entry, DType dtype) throws SaeFormatException {
    List<Long> expected = shape(entry.name());
    if (entry.dtype() != dtype || !entry.shape().equals(expected)) {
      throw new SaeFormatException(
          file,
          entry.name(),
          Expected.message(
              dtype.toString() + expected,
              entry.dtype().toString() + entry.shape(),
              "the file is damaged"));
    }
  }

  private Set<State> states() {
    return State.of(SaeTrainer.selection(sae), sae.shape(), training.step().optimizer());
  }

  private List<Long> shape(String name) {
    long d = sae.dIn();
    long out = sae.dOut();
    long f = sae.dSae();
    if (name.equals(State.STEPS.name()) || name.equals(State.LEARNED_THRESHOLD.name())) {
      return List.of(1L);
    }
    if (name.equals(State.AVERAGING.name())) {
      return List.of(2L);
    }
    if (name.endsWith("W_SKIP")) {
      return List.of(out, d);
    }
    if (name.endsWith("W_ENC") || name.endsWith("W_DEC")) {
      return List.of(f, name.endsWith("W_ENC") ? d : out);
    }
    return List.of(name.endsWith("B_DEC") ? out : f);
  }

  private static DType dtype(State state) {
    return switch (state) {
      case IDLE_BATCHES, IDLE_ROWS, STEPS -> DType.I64;
      case LEARNED_THRESHOLD, AVERAGING -> DType.F64;
      default -> DType.F32;
    };
  }

  private interface Chunk {
    void accept(long first, ByteBuffer chunk) throws IOException;
  }

  private static void forEachChunk(Safetensors tensors, String name, Chunk action)
      throws IOException {
    Entry entry = tensors.entry(name);
    ByteBuffer chunk = DirectBuffers.bytes(Math.min(CHUNK_BYTES, entry.bytes()));
    for (long at = 0; at < entry.bytes(); at += chunk.limit()) {
      chunk.clear().limit((int) Math.min(chunk.capacity(), entry.bytes() - at));
      tensors.readBytes(name, at, chunk);
      action.accept(at / entry.dtype().bytes(), nativeOrder(chunk.slice()));
    }
  }

  private static ByteBuffer nativeOrder(ByteBuffer buffer) {
    return buffer.order(ByteOrder.nativeOrder());
  }
}
