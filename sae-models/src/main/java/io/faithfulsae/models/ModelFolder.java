package io.faithfulsae.models;

import io.faithfulsae.io.Expected;
import io.faithfulsae.models.OnnxModel.Options;
import io.faithfulsae.models.runtime.internal.OnnxRuntimes;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Opens a Hugging Face folder and checks what can be checked before the first use. */
final class ModelFolder {
  private ModelFolder() {}

  static OnnxModel open(Path folder, Options options, @Nullable Backend backend)
      throws IOException {
    checkPrecision(options.precision(), backend);
    if (backend != null && !options.mapped()) {
      throw new IllegalArgumentException(
          Expected.message(
              "mapped weights on a backend's device",
              "weights to be copied",
              "open the model mapped, or on the CPU"));
    }
    Path file = folder.resolve("config.json");
    if (!Files.exists(file)) {
      throw new NoSuchFileException(file.toString(), null, "name a Hugging Face model folder");
    }
    ModelConfig config = ModelConfig.read(file);
    ModelFamily family = family(config);
    Weights weights = Weights.open(folder);
    Architecture architecture = architecture(family, config, weights);
    // Reports a missing or misshapen tensor now, not at its first use.
    Graphs.logits(
        architecture,
        weights,
        Set.of(),
        Interventions.NONE,
        new Graphs.Kind(options.precision(), false, false));
    SpecialTokens special = SpecialTokens.read(folder);
    special.checkAgainst(file, architecture.dimensions().vocabularySize());
    Path fileName = folder.toAbsolutePath().normalize().getFileName();
    return new OnnxModel(
        folder,
        fileName == null ? family.modelType() : fileName.toString(),
        architecture,
        special,
        new ModelSessions(architecture, weights, options, OnnxRuntimes.open(backend)),
        backend);
  }

  private static Architecture architecture(ModelFamily family, ModelConfig config, Weights weights)
      throws IOException {
    try {
      return family.architecture(config, weights);
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw e;
    } catch (RuntimeException | LinkageError e) { // of a family in another jar
      throw new IllegalStateException(Services.failure(family, "read the model's options", e), e);
    }
  }

  /** ONNX Runtime supports bfloat16 only on GPUs, and attention on GPUs only in 16 bits. */
  private static void checkPrecision(Precision precision, @Nullable Backend backend) {
    boolean onGpu = backend != null && backend.info().name().equals("cuda");
    if (precision == (onGpu ? Precision.FLOAT32 : Precision.BFLOAT16)) {
      throw new IllegalArgumentException(
          Expected.message(
              onGpu ? "FLOAT16 or BFLOAT16 on a GPU" : "FLOAT32 or FLOAT16 on the CPU",
              precision,
              "open the model with another precision in its options"));
    }
  }

  private static ModelFamily family(ModelConfig config) throws IOException {
    Map<String, ModelFamily> families = ModelFamily.installed();
    ModelFamily family = families.get(config.text("model_type", ""));
    if (family == null) {
      throw config.problem("model_type", "one of the supported families " + families.keySet());
    }
    return family;
  }
}
