package io.faithfulsae.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.cli.SaeCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine.Command;

/** The documents name only what there is, and the README's Java is compiled. */
final class DocumentationTest {
  private static final Path ROOT = Path.of("").toAbsolutePath().getParent();
  private static final Path QUICK_START =
      ROOT.resolve("examples/src/main/java/io/faithfulsae/examples/QuickStart.java");
  private static final Pattern LINK = Pattern.compile("\\]\\((?!https?:|#)([^)#]+)[^)]*\\)");
  private static final Pattern NAMED_FILE =
      Pattern.compile("`((?:[\\w.-]+/)+[\\w.-]+\\.(?:sh|py|md|txt|xml|java|h|json))\\b[^`]*`");
  private static final Pattern FENCE = Pattern.compile("(?ms)^```(\\w*)\\n(.*?)^```$");

  @Test
  void linksAndFilesExist() throws IOException {
    List<String> missing = new ArrayList<>();
    for (Path document : documents()) {
      String text = Files.readString(document);
      Matcher link = LINK.matcher(text);
      while (link.find()) {
        if (!Files.exists(document.resolveSibling(link.group(1)))) {
          missing.add(document + " links to " + link.group(1));
        }
      }
      Matcher named = NAMED_FILE.matcher(text);
      while (named.find()) {
        String file = named.group(1);
        if (!Files.exists(ROOT.resolve(file)) && !Files.exists(document.resolveSibling(file))) {
          missing.add(document + " names " + file);
        }
      }
    }
    assertEquals(List.of(), missing);
  }

  @Test
  void quickStartIsTheCompiledExample() throws IOException {
    List<String> lines = fences("java").get(0).lines().toList();
    assertTrue(lines.size() <= 15, "the quick start has " + lines.size() + " lines");
    String readme = withoutIndent(lines.stream());
    String example = withoutIndent(Files.readString(QUICK_START).lines());
    assertTrue(
        example.contains(readme),
        () -> "README.md's Java is not in " + QUICK_START + "; copy it from there:\n" + readme);
  }

  @Test
  void testCommandIsWhatCiRuns() throws IOException {
    String ci = Files.readString(ROOT.resolve(".ci/run"));
    assertTrue(fences("").contains("mvn verify\n"), "README.md has no block \"mvn verify\"");
    assertTrue(Pattern.compile("\\bmvn( -\\S+)* verify$", Pattern.MULTILINE).matcher(ci).find());
  }

  @Test
  void studyCommandNamesThisModulesJar() throws IOException {
    List<String> study = fences("").stream().filter(f -> f.contains("sae.jar study")).toList();
    assertFalse(study.isEmpty(), "README.md has no block that runs the study");
    String pom = Files.readString(ROOT.resolve("examples/pom.xml"));
    assertTrue(study.get(0).contains("examples/target/sae.jar") && pom.contains("/sae.jar"));
  }

  @Test
  void commandTableIsComplete() throws IOException {
    Matcher row = Pattern.compile("(?m)^\\| `sae ([\\w-]+)` \\|").matcher(readme());
    Set<String> documented = new TreeSet<>();
    while (row.find()) {
      documented.add(row.group(1));
    }
    Set<String> real =
        Arrays.stream(SaeCommand.class.getAnnotation(Command.class).subcommands())
            .map(command -> command.getAnnotation(Command.class).name())
            .collect(Collectors.toCollection(TreeSet::new));
    assertEquals(real, documented);
  }

  private static List<Path> documents() throws IOException {
    try (Stream<Path> docs = Files.walk(ROOT.resolve("docs"));
        Stream<Path> others =
            Stream.of("README.md", "CHANGELOG.md", "benchmarks/README.md").map(ROOT::resolve)) {
      return Stream.concat(others, docs).filter(f -> f.toString().endsWith(".md")).toList();
    }
  }

  private static String readme() throws IOException {
    return Files.readString(ROOT.resolve("README.md"));
  }

  private static List<String> fences(String language) throws IOException {
    List<String> found = new ArrayList<>();
    Matcher fence = FENCE.matcher(readme());
    while (fence.find()) {
      if (fence.group(1).equals(language)) {
        found.add(fence.group(2));
      }
    }
    return found;
  }

  private static String withoutIndent(Stream<String> lines) {
    return lines.map(String::strip).collect(Collectors.joining("\n"));
  }
}
