package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tokenizers that make the native library panic, which ends the process: each is refused before it
 * gets there. The tests run in a process of their own, so that a panic fails them.
 */
class HostileTokenizerTest {
  private static final String BPE =
      """
      {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]%s},
       "pre_tokenizer": %s, "normalizer": %s, "decoder": %s, "post_processor": %s}""";
  private static final String NONE = "null";

  @TempDir Path temp;

  @ParameterizedTest
  @CsvSource(
      delimiter = '!',
      quoteCharacter = '`',
      value = {
        "decoder!{\"type\": \"\\ud800\"}!decoder.: expected Unicode text, got half of a surrogate",
        "decoder!{\"type\": \"Fuse\", \"x\": 1e999}!decoder.: expected numbers that fit in 64 bits",
        "decoder!{\"type\": \"Strip\", \"content\": \"a\", \"start\": 0, \"stop\": 9}!decoder.stop",
        "decoder!{\"type\": \"Fuse\"!expected JSON",
        "pre!{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a+)+b\"}, \"behavior\":"
            + " \"Isolated\", \"invert\": false}!a pattern without repetition of a group",
        "pre!{\"type\": \"FixedLength\", \"length\": 0}!pre_tokenizer.length: expected at least 1",
        "normalizer!{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}!expected rules",
        "normalizer!{\"precompiled_charsmap\": \"AAAA\"}!expected rules",
        "model!, \"continuing_subword_prefix\": \"##longer\"!expected a second token that starts",
      })
  void whatEndsTheProcessIsRefused(String part, String json, String problem) throws Exception {
    assertRefused(
        BPE.formatted(
            part.equals("model") ? json : "",
            part.equals("pre") ? json : NONE,
            part.equals("normalizer") ? json : NONE,
            part.equals("decoder") ? json : NONE,
            NONE),
        problem);
  }

  @Test
  void deepNestingIsRefused() throws Exception {
    String deep = "{\"type\": \"Sequence\", \"decoders\": [".repeat(200) + "]}".repeat(200);
    assertRefused(BPE.formatted("", NONE, NONE, deep, NONE), "nesting depth");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[\"a\", \"c\"]", "\"a c\"", "\"a  b\"", "[\"a\"]", "7"})
  void mergesAreOfTwoTokensOfTheVocabulary(String merge) throws Exception {
    assertRefused(
        BPE.replace("\"a b\"", merge).formatted("", NONE, NONE, NONE, NONE),
        "model.merges[0]: expected t");
  }

  /** It would only be used to add special tokens, which nothing here asks for. */
  @Test
  void aPostProcessorIsLeftOut() throws Exception {
    String postProcessor =
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"B\","
            + " \"type_id\": 0}}], \"pair\": [], \"special_tokens\": {}}";
    Path folder = folder(BPE.formatted("", NONE, NONE, NONE, postProcessor));
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      assertArrayEquals(new int[] {2, 0}, tokenizer.encode("aba"));
    }
  }

  @Test
  void scoresKeepTheirDigits() throws Exception {
    String scores =
        """
        {"model": {"type": "Unigram", "unk_id": 0, "vocab":
          [["<unk>", 0.0], ["a", -1.00], ["b", -2.5e-3], ["ab", -1.00250000000000009]]}}""";
    assertEquals(
        scores.replaceAll("\\s", "").replace("-2.5e-3", "-0.0025"),
        TokenizerJson.read(folder(scores).resolve("tokenizer.json")).text());
  }

  @Test
  void patternsOfWellKnownTokenizersAreAccepted() {
    for (String pattern :
        List.of(
            "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
            "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}]+"
                + "(?i:'s|'t)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s+(?!\\S)|\\s+",
            "\\p{N}{1,3}(?=(?:\\p{N}{3})*\\b)",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+| ?[\\p{P}\\p{S}]+[\\r\\n]*")) {
      assertNull(Backtracking.reason(pattern), pattern);
    }
    for (String pattern :
        List.of(
            "(a+)+b",
            "(a|aa)*b",
            "(?:a{1,2}){40}b",
            "((a)?)+b",
            "(?>[^\\]]+x?)*",
            "(a)\\1",
            "a?".repeat(30) + "a{30}",
            "(a+){2}+",
            "a".repeat(20_000))) {
      assertNotNull(Backtracking.reason(pattern), pattern);
    }
  }

  private Path folder(String tokenizer) throws IOException {
    Path folder = Files.createDirectories(temp.resolve("model"));
    Files.writeString(folder.resolve("config.json"), "{\"eos_token_id\": 0}");
    Files.writeString(folder.resolve("tokenizer.json"), tokenizer);
    return folder;
  }

  private void assertRefused(String tokenizer, String problem) throws Exception {
    OtherJvm.Ended opened = OtherJvm.run(Opening.class, folder(tokenizer).toString());
    assertEquals(0, opened.status(), opened.toString());
    assertTrue(opened.said().toString().contains(problem), opened.toString());
  }

  /** The other process: opens, encodes and decodes. */
  static final class Opening {
    private Opening() {}

    public static void main(String[] args) throws IOException {
      SaeFormatException refused =
          assertThrows(
              SaeFormatException.class,
              () -> {
                try (Tokenizer tokenizer = Tokenizer.open(Path.of(args[0]))) {
                  tokenizer.decode(tokenizer.encode("a".repeat(40) + "ab b"));
                }
              });
      System.out.println(refused.getMessage());
    }
  }
}
