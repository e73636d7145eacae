package io.faithfulsae.models;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.ModelConfig;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/**
 * A model's tokenizer, from its {@code tokenizer.json}. Does not use the network.
 *
 * <p>The file is checked before the native library reads it, since an error in there would end the
 * process: text that is not Unicode, merges of unknown tokens, precompiled normalizers and patterns
 * that can take exponential time are refused.
 *
 * <p><b>Threads</b>: any number may use it. <b>Closed by</b> whoever opened it.
 */
public final class Tokenizer implements AutoCloseable {
  private static final Map<String, String> OPTIONS =
      Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");

  private final HuggingFaceTokenizer tokenizer;
  private final SpecialTokens special;

  private Tokenizer(HuggingFaceTokenizer tokenizer, SpecialTokens special) {
    this.tokenizer = tokenizer;
    this.special = special;
  }

  /**
   * Opens the tokenizer of a model folder.
   *
   * @throws NoSuchFileException if the folder has no {@code tokenizer.json}
   * @throws SaeFormatException if it cannot be read or trusted, no file gives the EOS token, or its
   *     vocabulary is larger than {@code vocab_size} in {@code config.json}
   */
  public static Tokenizer open(Path folder) throws IOException {
    Path file = folder.resolve("tokenizer.json");
    if (!Files.exists(file)) {
      throw new NoSuchFileException(
          file.toString(), null, "name a model folder with a tokenizer.json");
    }
    SpecialTokens special = SpecialTokens.read(folder);
    TokenizerJson json = TokenizerJson.read(file);
    checkVocabulary(folder, file, json.vocabulary());
    ByteArrayInputStream text =
        new ByteArrayInputStream(json.text().getBytes(StandardCharsets.UTF_8));
    try {
      return new Tokenizer(
          QuietDjl.call(() -> HuggingFaceTokenizer.newInstance(text, OPTIONS)), special);
    } catch (RuntimeException e) {
      throw new SaeFormatException(
          file,
          "file",
          Expected.message("a Hugging Face tokenizer", e.getMessage(), "fetch it again"));
    }
  }

  /**
   * Added tokens may exceed the model's vocabulary; those that were never trained are never
   * sampled.
   */
  private static void checkVocabulary(Path folder, Path file, JsonNode vocabulary)
      throws IOException {
    Path config = folder.resolve("config.json");
    if (!Files.exists(config)) {
      return;
    }
    int known = ModelConfig.read(config).number("vocab_size", Integer.MAX_VALUE);
    long highest = vocabulary.size() - 1L; // a list has no ids
    String token = "the last one";
    for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
      if (entry.getValue().asLong() > highest) {
        highest = entry.getValue().asLong();
        token = entry.getKey();
      }
    }
    if (highest >= known) {
      throw new SaeFormatException(
          file,
          "model.vocab",
          Expected.message(
              "ids below vocab_size = " + known + " of " + config,
              highest + " for " + token,
              "use the tokenizer of this checkpoint"));
    }
  }

  /**
   * The tokens of a text; no BOS or EOS is added, but special tokens that appear in the text are
   * recognized.
   */
  public int[] encode(String text) {
    return Arrays.stream(tokenizer.encode(text, false, false).getIds())
        .mapToInt(Math::toIntExact)
        .toArray();
  }

  /** The text of tokens, including special ones. */
  public String decode(int... tokens) {
    return tokens.length == 0
        ? ""
        : tokenizer.decode(Arrays.stream(tokens).asLongStream().toArray(), false);
  }

  /** The token that begins a text: BOS, or EOS if there is none. */
  public int bosToken() {
    return special.bos();
  }

  /** The token that ends a text. */
  public int eosToken() {
    return special.eos();
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
