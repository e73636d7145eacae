package io.faithfulsae.docs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.cli.SaeCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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

/** The documents match the tree: commands, jars, examples, pages. */
final class DocumentationTest {
  private static final Path ROOT = Markdown.ROOT;
  private static final Path EXAMPLES =
      ROOT.resolve("examples/src/main/java/io/faithfulsae/examples");

  @Test
  void firstJavaOfTheReadmeIsAnExample() throws IOException {
    List<String> lines = fences("java").get(0).lines().toList();
    assertTrue(lines.size() <= 10, "the README's first Java has " + lines.size() + " lines");
    String readme = withoutIndent(lines.stream());
    Path source = EXAMPLES.resolve("ExplainSentence.java");
    String example = withoutIndent(Files.readString(source).lines());
    assertTrue(
        example.contains(readme),
        () -> "README.md's Java is not in " + source + "; copy it from there:\n" + readme);
  }

  @Test
  void everyExampleIsInTheReadme() throws IOException {
    Set<String> listed = rows(readme(), "\\| \\[?`(\\w+)`.* \\|$");
    try (Stream<Path> sources = Files.list(EXAMPLES)) {
      Set<String> missing =
          sources
              .map(source -> source.getFileName().toString().replace(".java", ""))
              .filter(name -> !name.equals("package-info") && !listed.contains(name))
              .collect(Collectors.toCollection(TreeSet::new));
      assertEquals(Set.of(), missing, "examples that README.md does not list");
    }
  }

  @Test
  void everyDocumentIsInTheIndex() throws IOException {
    Path docs = ROOT.resolve("docs");
    Markdown index = Markdown.read(docs.resolve("index.md"));
    Set<Path> linked =
        index.links().stream()
            .map(link -> docs.resolve(link).normalize())
            .collect(Collectors.toSet());
    List<String> missing =
        Markdown.all().stream()
            .map(Markdown::file)
            .filter(file -> file.startsWith(docs) && !file.equals(index.file()))
            .filter(file -> !linked.contains(file))
            .map(Path::toString)
            .toList();
    assertEquals(List.of(), missing, "documents that docs/index.md does not link to");
  }

  @Test
  void treeInTheArchitectureIsTheRealOne() throws IOException {
    Markdown page = Markdown.read(ROOT.resolve("docs/architecture.md"));
    Set<String> drawn = new TreeSet<>();
    String module = "";
    for (String line : page.fences("text").get(0).lines().toList()) {
      String name = line.strip().split("\\s", 2)[0];
      if (line.startsWith(" ")) {
        drawn.add(module + " " + name);
      } else {
        module = name.replace("/", "");
      }
    }
    drawn.remove("sae-native src/main/native");
    Set<String> real = new TreeSet<>();
    for (Path source : Markdown.sources()) {
      Path path = ROOT.relativize(source);
      Path root = Path.of("src/main/java/io/faithfulsae");
      if (path.endsWith("package-info.java")
          && path.subpath(1, path.getNameCount()).startsWith(root)) {
        Path in = path.getName(0).resolve(root).relativize(path.getParent());
        String name = in.toString().replace('/', '.');
        real.add(path.getName(0) + " " + (name.isEmpty() ? "." : name));
      }
    }
    assertEquals(real, drawn);
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
    String pom = Files.readString(ROOT.resolve("sae-cli/pom.xml"));
    assertTrue(study.get(0).contains("sae-cli/target/sae.jar") && pom.contains("/sae.jar"));
  }

  @Test
  void commandTableIsComplete() throws IOException {
    String page = Files.readString(ROOT.resolve("docs/cli.md"));
    Set<String> documented = rows(page, "\\| `sae ([\\w-]+)` \\|");
    Set<String> real =
        Arrays.stream(SaeCommand.class.getAnnotation(Command.class).subcommands())
            .map(command -> command.getAnnotation(Command.class).name())
            .collect(Collectors.toCollection(TreeSet::new));
    assertEquals(real, documented);
  }

  /** What the group of a pattern matches at the start of any line. */
  private static Set<String> rows(String text, String pattern) {
    Matcher row = Pattern.compile("(?m)^" + pattern).matcher(text);
    Set<String> found = new TreeSet<>();
    while (row.find()) {
      found.add(row.group(1));
    }
    return found;
  }

  private static String readme() throws IOException {
    return Files.readString(ROOT.resolve("README.md"));
  }

  private static List<String> fences(String language) throws IOException {
    return Markdown.read(ROOT.resolve("README.md")).fences(language);
  }

  private static String withoutIndent(Stream<String> lines) {
    return lines.map(String::strip).collect(Collectors.joining("\n"));
  }
}
