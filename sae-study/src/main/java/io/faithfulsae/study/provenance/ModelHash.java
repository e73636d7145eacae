package io.faithfulsae.study.provenance;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** A hash that identifies a model folder: its configuration, tokenizer and weights. */
public final class ModelHash {
  private ModelHash() {}

  /** SHA-256 of a folder's files, in hexadecimal. */
  public static String of(Path folder) throws IOException {
    MessageDigest digest = Json.sha256();
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> relevant =
          files
              .filter(
                  file ->
                      file.toString().endsWith(".json") || file.toString().endsWith(".safetensors"))
              .sorted()
              .toList();
      for (Path file : relevant) {
        digest.update(String.valueOf(file.getFileName()).getBytes(StandardCharsets.UTF_8));
        try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
          in.transferTo(OutputStream.nullOutputStream());
        }
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }
}
