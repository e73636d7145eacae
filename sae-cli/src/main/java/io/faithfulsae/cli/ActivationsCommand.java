package io.faithfulsae.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.TokenSource;
import io.faithfulsae.cli.console.ShardSession;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.provenance.ModelHash;
import io.faithfulsae.study.provenance.TrainedOn;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code sae activations}: writes a model's activations, for text as shards, or for given tokens.
 */
@Command(
    name = "activations",
    description = {
      "Writes a model's activations at a hook point.",
      "With --data: for a text, as a folder of safetensors shards with an index, for 'train"
          + " --activations'. Ctrl-C loses no row: the same command resumes.",
      "With --tokens: for given token ids, as one file: 'activations' [B, T, d] float32."
    })
final class ActivationsCommand implements Callable<Integer>, WritesFiles {
  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin ModelOptions models;
  @Mixin FilterOptions filters;
  @Mixin TextInputOptions reading;
  @Mixin ShardOptions layout;

  @Option(
      names = "--hook",
      paramLabel = "HOOK",
      required = true,
      description = "Hook point, such as blocks.2.hook_resid_pre.")
  String hook;

  @Option(names = "--data", paramLabel = "FILE", description = "Text: " + TextInputOptions.FORMATS)
  @Nullable Path data;

  @Option(
      names = "--context",
      paramLabel = "N",
      defaultValue = "128",
      description = "Tokens per sequence (default: ${DEFAULT-VALUE}, or the model's context).")
  int context;

  @Option(
      names = "--tokens",
      paramLabel = "FILE.json",
      description = "Instead of text: a JSON array of equally long arrays of token ids.")
  @Nullable Path tokens;

  @Option(
      names = "--out",
      paramLabel = "PATH",
      required = true,
      description = "Folder of shards to write or resume; with --tokens, the file to write.")
  Path out;

  @Option(names = "--logits", description = "With --tokens: also write 'logits' [B, T, V].")
  boolean withLogits;

  /** A model output to compute. */
  private interface Forward {
    void run(int[][] batch, FloatBuffer into);
  }

  /**
   * What was written for given tokens.
   *
   * @param out the file
   * @param shape of its activations
   */
  record Written(String out, List<Integer> shape) {}

  @Override
  public List<Path> files() {
    return tokens == null ? List.of() : List.of(out);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    HookPoint point = common.fromOptions(() -> HookPoint.parse(hook));
    Path text = data;
    Path given = tokens;
    if (text != null && overwriting.allowed) {
      throw common.usage(
          Expected.message(
              "--overwrite with --tokens only",
              "--overwrite with --data",
              "leave it out to resume writing the shards, or use another folder for new ones"));
    }
    if (text != null && given == null && !withLogits) {
      return writeShards(point, text);
    }
    if (text == null && given != null) {
      return writeFile(point, read(given));
    }
    throw common.usage(
        Expected.message(
            "--data, or --tokens with or without --logits",
            text == null ? "neither" : given == null ? "--data with --logits" : "both",
            "say what the model reads"));
  }

  private int writeShards(HookPoint point, Path text) throws IOException {
    common.fromOptions(() -> layout.with(Map.of()));
    Path folder = models.folder();
    try (OnnxModel model = models.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      int length = Math.min(context, model.contextLength());
      TokenSource sequences = TokenSources.ofFile(text, reading.options(), tokenizer, length);
      // A resumed run keeps the filter that it was started with.
      ActivationFilter filter =
          ShardIndex.isIn(out)
              ? filters.forEvaluation(ShardIndex.read(out).metadata())
              : filters.forTraining(model, point, sequences, models.batchSequences);
      Map<String, String> metadata =
          new TreeMap<>(
              new TrainedOn(model.name(), point, text.toString(), length, filter).metadata());
      metadata.put("dataset", sequences.description());
      metadata.put("model_sha256", ModelHash.of(folder));
      metadata.put(
          "tokenizer_sha256", Json.sha256(Files.readAllBytes(folder.resolve("tokenizer.json"))));
      ShardIndex index =
          ShardSession.run(
              "activations",
              out,
              ActivationSources.ofModel(model, point, sequences, filter, models.batchSequences),
              layout.with(metadata),
              common.listener());
      common.print(
          index,
          String.format(
              Locale.ROOT,
              "%,d rows of %d in %d shards, %s; left out: %,d by position, %,d by token, %,d by"
                  + " norm%n%s",
              index.rows(),
              index.dIn(),
              index.shards().size(),
              index.precision(),
              index.filtered().byPosition(),
              index.filtered().byToken(),
              index.filtered().byNorm(),
              out));
    }
    return 0;
  }

  private int writeFile(HookPoint point, int[][] sequences) throws IOException {
    try (OnnxModel model = models.open(models.folder());
        WorkProgress progress = common.progress("activations", "sequences", sequences.length)) {
      int passes = withLogits ? 2 : 1;
      List<Tensor> tensors = new ArrayList<>();
      tensors.add(
          tensor(
              "activations",
              sequences,
              model.width(point),
              done -> progress.at(done / passes),
              (batch, into) -> model.activations(point, batch, into)));
      if (withLogits) {
        tensors.add(
            tensor(
                "logits",
                sequences,
                model.vocabularySize(),
                done -> progress.at((sequences.length + done) / passes),
                model::logits));
      }
      Safetensors.write(out, Map.of("model", model.name(), "hook", point.toString()), tensors);
      List<Integer> shape = List.of(sequences.length, sequences[0].length, model.width(point));
      common.print(new Written(out.toString(), shape), "activations " + shape + "\n" + out);
    }
    return 0;
  }

  private Tensor tensor(
      String name, int[][] sequences, int width, LongConsumer progress, Forward forward) {
    int length = sequences[0].length;
    return TensorBlocks.tensor(
        name,
        DType.F32,
        List.of((long) sequences.length, (long) length, (long) width),
        number -> {
          int first = number * models.batchSequences;
          int last = Math.min(sequences.length, first + models.batchSequences);
          int[][] batch = Arrays.copyOfRange(sequences, first, last);
          ByteBuffer bytes =
              TensorBlocks.allocate(Math.multiplyExact(batch.length * length, width));
          forward.run(batch, bytes.asFloatBuffer());
          progress.accept(last);
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
          Expected.message(
              "an array of arrays of token ids", e.getOriginalMessage(), "see --help"));
    }
    if (sequences.length == 0
        || Arrays.stream(sequences)
            .anyMatch(row -> row.length != sequences[0].length || row.length == 0)) {
      throw new SaeFormatException(
          file,
          "tokens",
          Expected.message(
              "at least one sequence, all of the same length",
              "lengths " + Arrays.stream(sequences).map(row -> row.length).distinct().toList(),
              "cut them to one length"));
    }
    return sequences;
  }
}
