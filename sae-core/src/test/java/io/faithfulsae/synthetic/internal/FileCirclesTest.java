package io.faithfulsae.synthetic.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A recipe draws its features with these classes, so none of them may need the recipe. */
final class FileCirclesTest {
  @Test
  void noneOfThemNeedsTheRecipe() throws IOException {
    try (Stream<Path> files =
        Files.list(Path.of("src/main/java/io/faithfulsae/synthetic/internal"))) {
      List<Path> all = files.toList();
      assertTrue(all.stream().anyMatch(file -> file.endsWith("SyntheticSource.java")));
      assertEquals(List.of(), all.stream().filter(FileCirclesTest::namesRecipe).toList());
    }
  }

  private static boolean namesRecipe(Path file) {
    try {
      return Files.readString(file).contains("SyntheticFeatures");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
