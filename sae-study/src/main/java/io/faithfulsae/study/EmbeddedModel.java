package io.faithfulsae.study;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * The small language model and the outside text bundled with the program; see their MODEL_CARD.md
 * and README.md.
 */
public final class EmbeddedModel {
  /** The model's name. */
  public static final String NAME = "tiny-stories-gpt2";

  private static final List<String> FILES =
      List.of(
          "MODEL_CARD.md",
          "config.json",
          "generation_config.json",
          "tokenizer_config.json",
          "tokenizer.json",
          "model.safetensors");

  private EmbeddedModel() {}

  /**
   * Writes the model as a Hugging Face folder, since ONNX Runtime maps weights only from files.
   * Existing files with the right content are left alone.
   */
  public static Path unpack(Path folder) throws IOException {
    Files.createDirectories(folder);
    for (String name : FILES) {
      byte[] content = resource("model/" + name);
      Path file = folder.resolve(name);
      if (!Files.exists(file)
          || !Json.sha256(Files.readAllBytes(file)).equals(Json.sha256(content))) {
        AtomicFile.write(
            file,
            channel -> {
              ByteBuffer rest = ByteBuffer.wrap(content);
              while (rest.hasRemaining()) {
                channel.write(rest);
              }
            });
      }
    }
    return folder;
  }

  /**
   * Unpacks the model into the user's cache folder ({@code $XDG_CACHE_HOME}, else {@code
   * ~/.cache}).
   */
  public static Path unpackToCache() throws IOException {
    String cache = System.getenv("XDG_CACHE_HOME");
    Path base =
        cache == null || cache.isBlank()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(cache);
    return unpack(base.resolve("faithfulsae").resolve(NAME));
  }

  /** The opening of Shakespeare's plays, the default study's outside text. */
  static String outsideText() {
    try {
      return new String(resource("text/shakespeare.txt"), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static byte[] resource(String path) throws IOException {
    try (InputStream in = EmbeddedModel.class.getResourceAsStream(path)) {
      if (in == null) {
        throw new IllegalStateException(
            Expected.message(
                "the resource " + path + " in the jar", "none", "rebuild the program"));
      }
      return in.readAllBytes();
    }
  }
}
