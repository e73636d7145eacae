package io.faithfulsae.models;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;

/**
 * The tokens that begin and end a text. If a model has no BOS, its EOS takes that role, as in
 * GPT-2.
 */
record SpecialTokens(int bos, int eos) {

  /** Reads config.json, generation_config.json and tokenizer_config.json, in this order. */
  static SpecialTokens read(Path folder) throws IOException {
    OptionalInt eos = find(folder, "eos_token");
    if (eos.isEmpty()) {
      throw new SaeFormatException(
          folder.resolve("config.json"),
          "eos_token_id",
          Expected.message(
              "an id here or in generation_config.json, or a token name in tokenizer_config.json",
              "none",
              "add one"));
    }
    return new SpecialTokens(find(folder, "bos_token").orElse(eos.getAsInt()), eos.getAsInt());
  }

  /** Rejects tokens outside the model's vocabulary. */
  void checkAgainst(Path config, int vocabularySize) throws SaeFormatException {
    for (int token : new int[] {bos, eos}) {
      if (token < 0 || token >= vocabularySize) {
        throw new SaeFormatException(
            config,
            token == bos ? "bos_token_id" : "eos_token_id",
            Expected.message(
                "an id below vocab_size = " + vocabularySize,
                token,
                "use the configuration and the tokenizer of this checkpoint"));
      }
    }
  }

  private static OptionalInt find(Path folder, String name) throws IOException {
    for (String file : new String[] {"config.json", "generation_config.json"}) {
      if (Files.exists(folder.resolve(file))) {
        ModelConfig config = ModelConfig.read(folder.resolve(file));
        // A multimodal model keeps those of its language model in a nested section.
        JsonNode id =
            config.has(name + "_id")
                ? config.json(name + "_id")
                : config.json("text_config").path(name + "_id");
        JsonNode first = id.isArray() ? id.path(0) : id;
        if (first.isInt()) {
          return OptionalInt.of(first.intValue());
        }
      }
    }
    return byName(folder, name);
  }

  private static OptionalInt byName(Path folder, String name) throws IOException {
    Path config = folder.resolve("tokenizer_config.json");
    Path tokenizer = folder.resolve("tokenizer.json");
    if (!Files.exists(config) || !Files.exists(tokenizer)) {
      return OptionalInt.empty();
    }
    JsonNode token = ModelConfig.read(config).json(name);
    String text = token.isObject() ? token.path("content").asText("") : token.asText("");
    for (JsonNode added : ModelConfig.read(tokenizer).json("added_tokens")) {
      if (!text.isEmpty() && added.path("content").asText().equals(text)) {
        return OptionalInt.of(added.path("id").asInt());
      }
    }
    return OptionalInt.empty();
  }
}
