package io.faithfulsae.cli;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.study.EmbeddedModel;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The language model. */
final class ModelOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR",
      description =
          "Hugging Face folder of a GPT-2, Pythia, Llama, Mistral, Gemma 2, Gemma 3 or Qwen model (config.json, *.safetensors, tokenizer.json). Default: the small bundled model.")
  @Nullable Path dir;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads for the model. Default: one per processor.")
  @Nullable Integer threads;

  @Option(
      names = "--batch-sequences",
      paramLabel = "N",
      defaultValue = "32",
      description = "Sequences per forward pass (default: ${DEFAULT-VALUE}).")
  int batchSequences;

  /** The model's folder; unpacks the embedded model. */
  Path folder() throws IOException {
    return dir == null ? EmbeddedModel.unpackToCache() : dir;
  }

  OnnxModel open(Path folder) throws IOException {
    return threads == null
        ? OnnxModel.open(folder)
        : OnnxModel.open(folder, new OnnxModel.Options(threads));
  }
}
