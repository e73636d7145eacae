package io.faithfulsae.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.docs.JavaBlocks.Block;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java in documents compiles. */
final class JavaBlocksTest {
  @TempDir Path dir;

  @Test
  void everyBlockInMarkdownCompiles() throws IOException {
    List<Block> blocks = new ArrayList<>();
    for (Markdown document : Markdown.all()) {
      blocks.addAll(JavaBlocks.ofMarkdown(document));
    }
    assertTrue(blocks.size() >= 3, blocks.toString());
    assertEquals(List.of(), JavaBlocks.errors(blocks));
  }

  @Test
  void everyBlockInJavadocCompiles() throws IOException {
    List<Block> blocks = new ArrayList<>();
    try (Stream<Path> modules = Files.list(Markdown.ROOT)) {
      for (Path main :
          modules
              .map(module -> module.resolve("src/main/java"))
              .filter(Files::isDirectory)
              .toList()) {
        try (Stream<Path> sources = Files.walk(main)) {
          for (Path source : sources.filter(file -> file.toString().endsWith(".java")).toList()) {
            blocks.addAll(JavaBlocks.ofJavadoc(source));
          }
        }
      }
    }
    assertTrue(blocks.size() >= 3, blocks.toString());
    assertEquals(List.of(), JavaBlocks.errors(blocks));
  }

  @Test
  void blocksThatDoNotCompileAreNamed() throws IOException {
    Path page =
        Files.writeString(
            dir.resolve("page.md"),
            """
            Text.

            <!-- assumes: Path dir, List<String> names -->
            ```java
            import java.util.function.Function;
            Function<String, Path> in = dir::resolve;
            names.forEach(in::apply);
            ```

            ```java
            record Own(int number) implements TokenSource {}
            ```

            ```java
            int rows = 3;
            Sae sae = Sae.nowhere(rows);
            ```
            """);
    List<Block> blocks = JavaBlocks.ofMarkdown(new Markdown(page, Files.readString(page)));
    assertEquals(3, blocks.size());
    List<String> errors = JavaBlocks.errors(blocks);
    assertFalse(errors.stream().anyMatch(error -> error.contains("page.md:5")), errors.toString());
    assertEquals(2, errors.size(), errors.toString());
    assertTrue(
        errors.stream().anyMatch(error -> error.contains("page.md:11, line 1 of the block")),
        errors.toString());
    assertTrue(
        errors.stream().anyMatch(error -> error.contains("page.md:15, line 2 of the block")),
        errors.toString());
  }

  @Test
  void blocksInJavadocAreFoundWithWhatTheyAssume() throws IOException {
    Path source =
        Files.writeString(
            dir.resolve("Some.java"),
            """
            /**
             * Text.
             *
             * <!-- assumes: Path dir,
             *     Backend backend -->
             *
             * <pre>{@code
             * Sae sae = Sae.load(dir, backend);
             * sae.nothing();
             * }</pre>
             */
            class Some {}
            """);
    List<Block> blocks = JavaBlocks.ofJavadoc(source);
    assertEquals(1, blocks.size());
    List<String> errors = JavaBlocks.errors(blocks);
    assertEquals(1, errors.size(), errors.toString());
    assertTrue(errors.get(0).contains("line 2 of the block"), errors.toString());
  }
}
