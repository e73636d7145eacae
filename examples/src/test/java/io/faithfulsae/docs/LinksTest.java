package io.faithfulsae.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Relative links in Markdown lead to files of the tree, and to headings in them. */
final class LinksTest {
  private static final Pattern NAMED_FILE =
      Pattern.compile(
          "`((?:[\\w.-]+/)+[\\w.-]+\\.(?:sh|py|md|txt|xml|h|cpp|cuh?|json|yaml)|(?:[\\w.-]+/)*\\w+\\.java)\\b[^`]*`");

  private static final Set<String> BUILT = Set.of("sae-native/target/native/compile_commands.json");

  @TempDir Path dir;

  @Test
  void everyLinkLeadsSomewhere() throws IOException {
    List<String> broken = new ArrayList<>();
    for (Markdown document : Markdown.all()) {
      broken.addAll(broken(document));
    }
    assertEquals(List.of(), broken);
  }

  /** A path in backticks may omit its first folders, as {@code spi/Backend.java} does. */
  @Test
  void filesNamedInTextExist() throws IOException {
    List<String> missing = new ArrayList<>();
    List<Path> sources = Markdown.sources();
    for (Markdown document : Markdown.all()) {
      Matcher named = NAMED_FILE.matcher(document.text());
      while (named.find()) {
        String file = named.group(1);
        if (sources.stream().noneMatch(source -> source.endsWith(file))
            && !Files.exists(document.file().resolveSibling(file))
            && !BUILT.contains(file)) {
          missing.add(document.name() + " names " + file);
        }
      }
    }
    assertEquals(List.of(), missing);
  }

  @Test
  void brokenLinksAreFound() throws IOException {
    Path other = Files.writeString(dir.resolve("other.md"), "# Two words: `here`\n\n# A\n# A\n");
    Path page =
        Files.writeString(
            dir.resolve("page.md"),
            """
            # Top
            [ok](other.md#two-words-here) [ok](#top) [ok](other.md#a-1) `[code](nowhere.md)`
            [no file](nothing.md) [no heading](other.md#three) <img src="none.svg">
            [no heading here](#bottom)
            ```
            [in a block](nothing-either.md)
            ```
            """);
    assertEquals(Set.of("two-words-here", "a", "a-1"), Markdown.read(other).anchors());
    assertEquals(
        List.of("nothing.md", "other.md#three", "none.svg", "#bottom"),
        broken(Markdown.read(page)).stream().map(line -> line.replaceAll(".* ", "")).toList());
  }

  private static List<String> broken(Markdown document) throws IOException {
    List<String> broken = new ArrayList<>();
    for (String link : document.links()) {
      if (link.matches("[a-z]+:.*")) {
        continue; // another site; tests have no network
      }
      String[] parts = link.split("#", 2);
      Path target =
          parts[0].isEmpty()
              ? document.file()
              : document.file().resolveSibling(parts[0]).normalize();
      boolean there = Files.exists(target);
      if (there && parts.length == 2) {
        there =
            target.toString().endsWith(".md") && Markdown.read(target).anchors().contains(parts[1]);
      }
      if (!there) {
        broken.add(document.file() + " links to " + link);
      }
    }
    return broken;
  }
}
