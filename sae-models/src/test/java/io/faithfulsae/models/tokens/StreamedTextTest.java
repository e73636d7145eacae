package io.faithfulsae.models.tokens;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Text that does not fit in memory, or would not if it were larger. */
class StreamedTextTest {
  @TempDir Path dir;

  @ParameterizedTest
  @ValueSource(strings = {"some words ", "nospace", "\ud83d\ude00"})
  void textWithoutLineEndsComesInPieces(String repeated) throws IOException {
    String text = repeated.repeat(700_000 / repeated.length());
    Path file = Files.writeString(dir.resolve("a.txt"), text);
    try (Tokenizer tokenizer = Tokenizer.open(GoldenModels.folder("gpt2-tied"));
        Stream<int[]> pieces = TextDocuments.open(file, new Encoder(tokenizer, false, false))) {
      Iterator<int[]> each = pieces.iterator();
      StringBuilder read = new StringBuilder();
      int count = 0;
      while (each.hasNext()) {
        String piece = tokenizer.decode(each.next());
        assertTrue(piece.length() < (1 << 18) + (1 << 17), piece.length() + " characters");
        read.append(piece);
        count++;
      }
      assertTrue(count > 2, count + " pieces");
      assertEquals("<|endoftext|>" + text.strip(), read.toString().strip(), "nothing is lost");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"a.txt", "a.jsonl"})
  void bytesThatAreNotUtf8AreSaidWithTheFile(String name) throws IOException {
    Path file = Files.write(dir.resolve(name), new byte[] {'{', (byte) 0xff, '}'});
    try (Tokenizer tokenizer = Tokenizer.open(GoldenModels.folder("gpt2-tied"))) {
      IOException e =
          assertThrows(IOException.class, () -> TokenSources.ofFile(file, tokenizer, 4));
      assertTrue(
          String.valueOf(e.getMessage()).contains(name + ": text: expected UTF-8")
              && String.valueOf(e.getMessage()).contains("got bytes that are not UTF-8"),
          e.getMessage());
    }
  }

  @Test
  void aLineLargerThanAnyDocumentIsAMessage() throws IOException {
    Path file = dir.resolve("bomb.jsonl.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
      out.write("{\"text\": \"".getBytes(StandardCharsets.UTF_8));
      byte[] block = "a".repeat(1 << 20).getBytes(StandardCharsets.UTF_8);
      for (int i = 0; i < 65; i++) {
        out.write(block);
      }
    }
    try (Tokenizer tokenizer = Tokenizer.open(GoldenModels.folder("gpt2-tied"));
        Stream<int[]> documents =
            JsonLines.open(file, TextOptions.DEFAULT, new Encoder(tokenizer, false, false))) {
      UncheckedIOException e = assertThrows(UncheckedIOException.class, documents::count);
      assertTrue(
          String.valueOf(e.getMessage()).contains("line 1: expected at most 67108864 characters"),
          e.getMessage());
    }
  }
}
