package io.faithfulsae.examples;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import io.faithfulsae.study.EmbeddedModel;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A model family of your own: models whose {@code config.json} has {@code "model_type": "my_gpt"}.
 * The library finds it because this jar names the class in {@code
 * META-INF/services/io.faithfulsae.models.spi.ModelFamily}; nothing in the library changes.
 */
public final class OwnFamily implements ModelFamily {

  /** Called by the service loader. */
  public OwnFamily() {}

  @Override
  public String modelType() {
    return "my_gpt";
  }

  /**
   * This family is GPT-2 under another name. A family with RMSNorm, rotary positions and a gated
   * MLP takes a few calls on {@link io.faithfulsae.models.spi.GatedTransformer}; any other
   * implements {@link Architecture} with the nodes of its blocks.
   */
  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws IOException {
    return ModelFamily.named("gpt2").architecture(config, weights);
  }

  /**
   * Opens the bundled model under the new name and prints its most likely next token.
   *
   * @param args a folder for the model
   */
  public static void main(String[] args) throws IOException {
    Path folder = EmbeddedModel.unpack(Path.of(args[0]));
    Path config = folder.resolve("config.json");
    Files.writeString(config, Files.readString(config).replace("\"gpt2\"", "\"my_gpt\""));
    try (OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      int[] tokens = tokenizer.encode("<|endoftext|>once upon a");
      int vocabulary = model.vocabularySize();
      FloatBuffer logits = FloatBuffer.allocate(tokens.length * vocabulary);
      model.logits(new int[][] {tokens}, logits);
      int last = (tokens.length - 1) * vocabulary;
      int best = 0;
      for (int token = 1; token < vocabulary; token++) {
        best = logits.get(last + token) > logits.get(last + best) ? token : best;
      }
      System.out.println("once upon a" + tokenizer.decode(best));
    }
  }
}
