package io.faithfulsae.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.HookPoint;
import io.faithfulsae.SaeFormatException;
import io.faithfulsae.console.Progress;
import io.faithfulsae.internal.Safetensors;
import io.faithfulsae.internal.Safetensors.DType;
import io.faithfulsae.internal.Safetensors.Tensor;
import io.faithfulsae.models.OnnxModel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae activations}: the residual stream of given tokens. */
@Command(
    name = "activations",
    description =
        "Writes a model's activations at a hook point, for given tokens, as safetensors: 'activations' [B, T, d] float32.")
final class ActivationsCommand implements Callable<Integer> {
  @Mixin CommonOptions common;
  @Mixin ModelOptions models;

  @Option(
      names = "--hook",
      paramLabel = "HOOK",
      required = true,
      description = "Hook point, such as blocks.2.hook_resid_pre.")
  String hook;

  @Option(
      names = "--tokens",
      paramLabel = "FILE.json",
      required = true,
      description = "Array of equally long arrays of token ids.")
  Path tokens;

  @Option(
      names = "--out",
      paramLabel = "FILE.safetensors",
      required = true,
      description = "File to write.")
  Path out;

  @Option(names = "--logits", description = "Write 'logits' [B, T, V] too.")
  boolean withLogits;

  /** One kind of output of a forward pass. */
  private interface Forward {
    void run(int[][] batch, FloatBuffer into);
  }

  @Override
  public Integer call() throws IOException {
    HookPoint point = common.fromOptions(() -> HookPoint.parse(hook));
    int[][] sequences = read(tokens);
    try (OnnxModel model = models.open(models.folder());
        Progress progress =
            Progress.start(
                "activations", "sequences", (long) sequences.length * (withLogits ? 2 : 1))) {
      List<Tensor> tensors = new ArrayList<>();
      tensors.add(
          tensor(
              "activations",
              sequences,
              model.dModel(),
              progress,
              0,
              (batch, into) -> model.activations(point, batch, into)));
      if (withLogits) {
        tensors.add(
            tensor(
                "logits",
                sequences,
                model.vocabularySize(),
                progress,
                sequences.length,
                model::logits));
      }
      Safetensors.write(out, Map.of("model", model.name(), "hook", point.toString()), tensors);
      List<Integer> shape = List.of(sequences.length, sequences[0].length, model.dModel());
      common.print(
          Map.of("out", out.toString(), "shape", shape), "activations " + shape + "\n" + out);
    }
    return 0;
  }

  private Tensor tensor(
      String name, int[][] sequences, int width, Progress progress, long before, Forward forward) {
    int length = sequences[0].length;
    return TensorBlocks.tensor(
        name,
        DType.F32,
        List.of((long) sequences.length, (long) length, (long) width),
        number -> {
          int first = number * models.batchSequences;
          int[][] batch =
              Arrays.copyOfRange(
                  sequences, first, Math.min(sequences.length, first + models.batchSequences));
          ByteBuffer bytes =
              TensorBlocks.allocate(Math.multiplyExact(batch.length * length, width));
          forward.run(batch, bytes.asFloatBuffer());
          progress.at(before + first + batch.length);
          return bytes;
        });
  }

  private static int[][] read(Path file) throws IOException {
    int[][] sequences;
    try {
      sequences = new JsonMapper().readValue(Files.readAllBytes(file), int[][].class);
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file,
          "tokens",
          "expected an array of arrays of token ids, got: "
              + e.getOriginalMessage()
              + "; mend: see --help");
    }
    if (sequences.length == 0
        || Arrays.stream(sequences)
            .anyMatch(row -> row.length != sequences[0].length || row.length == 0)) {
      throw new SaeFormatException(
          file,
          "tokens",
          "expected at least one sequence, all of one length, got lengths "
              + Arrays.stream(sequences).map(row -> row.length).distinct().toList()
              + "; mend: cut them to one length");
    }
    return sequences;
  }
}
