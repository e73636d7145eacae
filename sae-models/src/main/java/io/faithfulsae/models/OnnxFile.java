package io.faithfulsae.models;

import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import com.google.protobuf.InvalidProtocolBufferException;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.OnnxModel.Options;
import io.faithfulsae.models.spi.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * A decoder in an ONNX file written by another program, such as Optimum or PyTorch, with or without
 * ONNX Runtime's fusions: {@link #tap} returns a language model whose activations are one of the
 * file's tensors.
 *
 * <p><b>Memory</b>: the file, including its weights unless they are external data; while a tap is
 * opened, a second copy of what the tap needs.
 */
public final class OnnxFile {
  private static final List<String> CONTEXT =
      List.of("max_position_embeddings", "n_positions", "n_ctx", "seq_length");
  private static final int NEAR = 5;
  private static final int LOGITS_RANK = 3;

  private final Path file;
  private final ModelProto model;
  private final Set<String> tensors;
  private final SpecialTokens special;
  private final int vocabularySize;
  private final int contextLength;
  private final Options options;

  private OnnxFile(Path file, ModelProto model, Path folder, ModelConfig config, Options options)
      throws IOException {
    this.file = file;
    this.model = model;
    this.tensors = tensors(model.getGraph());
    this.special = SpecialTokens.read(folder);
    this.vocabularySize = config.number("vocab_size");
    this.contextLength = contextLength(config);
    this.options = options;
  }

  /**
   * Opens a file; {@link OnnxModel#of} does so with the default options.
   *
   * @param file must have its external data and its {@code config.json} in the same folder; the
   *     latter gives the special tokens, the vocabulary size and the context length
   * @throws java.nio.file.NoSuchFileException if either file is missing
   * @throws SaeFormatException if it is not an ONNX file, or {@code config.json} lacks one of these
   */
  public static OnnxFile open(Path file, Options options) throws IOException {
    Path folder = file.toAbsolutePath().getParent();
    if (folder == null) {
      throw new IllegalArgumentException(
          Expected.message("a file", file, "give the path of an .onnx file"));
    }
    byte[] bytes = Files.readAllBytes(file);
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"));
    try {
      ModelProto model = ModelProto.parseFrom(bytes);
      if (model.getGraph().getNodeCount() == 0) {
        throw new SaeFormatException(
            file, "graph", Expected.message("operators", "none", "choose an ONNX file"));
      }
      return new OnnxFile(file, model, folder, config, options);
    } catch (InvalidProtocolBufferException e) {
      throw new SaeFormatException(
          file, "file", Expected.message("an ONNX model", e.getMessage(), "export it again"));
    }
  }

  private static int contextLength(ModelConfig config) throws IOException {
    for (String field : CONTEXT) {
      if (config.has(field)) {
        return config.number(field);
      }
    }
    throw config.problem(CONTEXT.get(0), "the context length");
  }

  private static Set<String> tensors(GraphProto graph) {
    Set<String> names = new LinkedHashSet<>();
    graph.getNodeList().forEach(node -> names.addAll(node.getOutputList()));
    names.remove("");
    return names;
  }

  /** The names of all tensors computed by operators, in graph order. */
  public List<String> tensors() {
    return List.copyOf(tensors);
  }

  /** As {@link #tap(String, HookPoint)}, with the hook point {@code blocks.0.hook_tensor}. */
  public LanguageModel tap(String tensor) throws IOException {
    return tap(tensor, new HookPoint(0, "hook_tensor"));
  }

  /**
   * A model whose activations at one hook point are a tensor of the file. Only what that tensor
   * needs is run. The model also computes logits; it cannot continue from activations put in place
   * of its own, since it is unknown what else in the file would have to be recomputed. These inputs
   * are derived from the token ids: {@code input_ids}, {@code attention_mask}, {@code
   * position_ids}, {@code token_type_ids}, {@code cache_position}, empty {@code past…} keys and
   * values, {@code use_cache_branch}.
   *
   * @param tensor must have shape {@code [batch, length, d]} or {@code [batch * length, d]} and be
   *     float32, float16 or bfloat16
   * @param hook the hook point that stands for the tensor
   * @return to be closed by the caller
   * @throws IllegalArgumentException if there is no such tensor (the message lists similar names),
   *     its shape is different, or a required input cannot be derived from token ids
   */
  public LanguageModel tap(String tensor, HookPoint hook) throws IOException {
    if (!tensors.contains(tensor)) {
      throw new IllegalArgumentException(
          Expected.message(
              "a tensor of " + file.getFileName() + ", such as " + near(tensor),
              tensor,
              "OnnxFile.tensors() lists them all"));
    }
    return new OnnxTap(this, tensor, hook, options);
  }

  /** The names most similar to the given one, by shared trigrams. */
  private List<String> near(String name) {
    Set<String> pieces = pieces(name);
    return tensors.stream()
        .sorted(Comparator.comparingDouble(tensor -> -likeness(pieces, pieces(tensor))))
        .limit(NEAR)
        .toList();
  }

  private static double likeness(Set<String> a, Set<String> b) {
    Set<String> both = new HashSet<>(a);
    both.retainAll(b);
    return both.size() / (double) Math.max(1, a.size() + b.size() - both.size());
  }

  private static Set<String> pieces(String name) {
    String padded = " " + name.toLowerCase(Locale.ROOT) + " ";
    Set<String> pieces = new HashSet<>();
    for (int i = 0; i + 3 <= padded.length(); i++) {
      pieces.add(padded.substring(i, i + 3));
    }
    return pieces;
  }

  Path file() {
    return file;
  }

  ModelProto model() {
    return model;
  }

  SpecialTokens special() {
    return special;
  }

  int vocabularySize() {
    return vocabularySize;
  }

  int contextLength() {
    return contextLength;
  }

  /** The output with the logits: the one of that name, else the first. */
  String logits() {
    return model.getGraph().getOutputList().stream()
        .filter(output -> isLogits(output))
        .map(ValueInfoProto::getName)
        .findFirst()
        .orElse(model.getGraph().getOutput(0).getName());
  }

  private static boolean isLogits(ValueInfoProto output) {
    return output.getName().equals("logits")
        && output.getType().getTensorType().getShape().getDimCount() == LOGITS_RANK;
  }
}
